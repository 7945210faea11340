import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from federation.fl import weights, workloads
from federation.fl.options import OptionError
from federation.fl.workloads import WORKLOADS, Data
from federation.fl.workloads.workload import source_digest

ROOT = Path(__file__).parents[3]
FIRST_VERSION = ROOT / "tests/fixtures/0.1.0/agent.zip"


def test_every_workload_says_what_it_is():
    for name, workload in WORKLOADS.items():
        assert workload.name == name and workload.title and workload.summary.endswith(".")
        assert set(workload.train_defaults) == {"epochs", "batch_size", "learning_rate"}
        assert workload.needs_torch is (name != "synthetic")


def test_an_unknown_workload_is_refused_with_those_there_are():
    with pytest.raises(OptionError, match="choose one of digits, threes_and_sevens, images, .*, synthetic") as refusal:
        workloads.get("imagenet")
    assert refusal.value.field == "name"


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_initial_model_depends_on_the_seed_alone(name, tmp_path):
    workload = workloads.get(name)
    first, again, other = (workload.initial_weights({}, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(first[tensor], again[tensor]) for tensor in first)
    assert any(not np.array_equal(first[tensor], other[tensor]) for tensor in first)
    assert all(array.dtype == np.float32 for array in first.values())
    assert workload.write_initial(tmp_path / "w", {}, 1) == hashlib.sha256(weights.dump(first)).hexdigest()
    assert (tmp_path / "w").read_bytes() == weights.dump(first)


@pytest.mark.parametrize("name", WORKLOADS)
def test_options_that_cannot_be_are_refused_everywhere(name, tmp_path):
    workload = workloads.get(name)
    for call in (
        lambda: workload.initial_weights({"surprise": 1}, 1),
        lambda: workload.write_initial(tmp_path / "w", {"surprise": 1}, 1),
        lambda: workload.training_data({"surprise": 1}, None),
        lambda: workload.evaluate({}, {"surprise": 1}),
    ):
        with pytest.raises(OptionError, match=f"workload {name} has no option 'surprise'"):
            call()


def test_digests_differ_and_are_hexadecimal():
    digests = {workload.digest() for workload in WORKLOADS.values()}
    assert len(digests) == len(WORKLOADS) and all(len(digest) == 64 and int(digest, 16) for digest in digests)


def test_line_endings_do_not_change_a_source_digest(tmp_path):
    for name, content in (("unix", b"a\nb\n"), ("windows", b"a\r\nb\r\n"), ("other", b"a\nc\n")):
        (tmp_path / name).write_bytes(content)
    unix, windows, other = (source_digest(str(tmp_path / name)) for name in ("unix", "windows", "other"))
    assert unix == windows != other


DIGESTS = """
from pathlib import Path
read, more = Path.read_bytes, b"{before}"
Path.read_bytes = lambda path: read(path) + (more if path.name == "training.py" else b"")
from federation.fl import workloads
first, more = {{name: known.digest() for name, known in workloads.WORKLOADS.items()}}, b"{after}"
assert first == {{name: known.digest() for name, known in workloads.WORKLOADS.items()}}
print(json.dumps(first))
"""


def digests(before, after):
    """What a process finds in which training.py has a comment more when it starts, and another one later."""
    code = "import json" + DIGESTS.format(before=before, after=after)
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(ran.stdout)


def test_a_digest_is_of_the_code_that_runs_and_covers_what_trains_a_network():
    changed, here = digests("# a comment", "# another"), {name: known.digest() for name, known in WORKLOADS.items()}
    assert {name for name in here if here[name] != changed[name]} == here.keys() - {"synthetic"}


def test_data_can_be_counted_and_divided():
    data = Data(np.arange(8.0).reshape(4, 2), np.array([0, 2, 2, 0]), ("a", "b", "c"))
    assert len(data) == 4 and data.histogram() == {"a": 2, "b": 0, "c": 2}
    part = data.subset(np.array([1, 3]))
    assert part.features.tolist() == [[2, 3], [6, 7]] and part.labels.tolist() == [2, 0]


def test_data_without_labels_have_an_empty_histogram():
    data = Data(np.arange(4.0), np.empty(0, np.int64), ())
    assert len(data.subset(np.array([0, 1]))) == 2 and data.histogram() == {}


@pytest.mark.parametrize(
    "name, digest",
    [
        ("digits", "1993cf4bcb5a5e20de4a0dbdc8c4c8e4b695cc2c541b597dd1f48899e992aee8"),
        ("synthetic", "abb202974e493e2817943f6dcfc766b8affc727084d6a48fa987b87707b89bcc"),
        ("threes_and_sevens", "687d5db42265616754b788bc948ab799af2daa9b6d819d629b60ad0629f27e6d"),
    ],
)
def test_agents_of_the_first_version_have_the_same_code(name, digest):
    """A session of one code is served only by code that trains the same: without it they would be of no use."""
    assert digest in workloads.alike(name, workloads.get(name).digest())
    assert workloads.get(name).digest() in workloads.alike(name, digest)


@pytest.mark.parametrize(
    "name, digest",
    [
        ("digits", "14cbd210caa98ae1019a8262e7cc1d2c5b680b431cb5a1a1a37bd851f4db9825"),
        ("synthetic", "849481b45f763002981129c21ac60e42f83f2ad37b72a154ee16f9075c0ee40c"),
        ("threes_and_sevens", "45879e5bc677122869ff0d0b9c51567b83b24ab8ea535eb62e0f2317994e87ea"),
    ],
)
def test_a_change_of_a_built_in_source_is_noticed(name, digest):
    """Sessions of this digest go on after a change only if `releases.py` lists it: see there, then change it here."""
    assert workloads.get(name).digest() == digest


def test_other_code_is_like_nothing_but_itself():
    assert workloads.alike("digits", "f" * 64) == {"f" * 64}
    assert workloads.alike("imagenet", "f" * 64) == {"f" * 64}
    assert workloads.get("synthetic").digest() not in workloads.alike("digits", workloads.get("digits").digest())


TRAINED = """
import hashlib, numpy as np
from federation.fl import weights, workloads
from federation.fl.workloads import TrainConfig
known, config = workloads.get("{name}"), TrainConfig(epochs=2, batch_size=16, learning_rate=0.05, seed=9)
options = {options}
data = known.training_data(options, None)
data = data.subset(np.arange(0, len(data), 6))
base = known.initial_weights(options, 3)
update = known.local_update(base, data, options, config, lambda *_: True)
print(hashlib.sha256(weights.dump(base) + weights.dump(update.delta)).hexdigest(), update.num_examples)
"""


@pytest.mark.parametrize("name, options", [("threes_and_sevens", {}), ("synthetic", {"num_parameters": 70_000})])
def test_what_is_accepted_trains_to_the_same_bytes(name, options):
    code, earlier = TRAINED.format(name=name, options=options), {**os.environ, "PYTHONPATH": str(FIRST_VERSION)}
    ran = [
        subprocess.run([sys.executable, "-c", code], cwd=cwd, env=env, capture_output=True, text=True, check=True)
        for cwd, env in ((ROOT, os.environ), (FIRST_VERSION.parent, earlier))
    ]
    assert ran[0].stdout == ran[1].stdout
