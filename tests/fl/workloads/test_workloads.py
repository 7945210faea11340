import hashlib
from pathlib import Path

import numpy as np
import pytest

from federation.fl import weights, workloads
from federation.fl.options import OptionError
from federation.fl.workloads import WORKLOADS, Data
from federation.fl.workloads.workload import source_digest


def test_every_workload_says_what_it_is():
    for name, workload in WORKLOADS.items():
        assert workload.name == name and workload.title and workload.summary.endswith(".")
        assert set(workload.train_defaults) == {"epochs", "batch_size", "learning_rate"}
        assert workload.needs_torch is (name != "synthetic")


def test_an_unknown_workload_is_refused_with_those_there_are():
    with pytest.raises(OptionError, match="choose one of digits, threes_and_sevens, synthetic") as refusal:
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


def test_whatever_trains_a_network_is_in_its_digest(monkeypatch):
    before = workloads.get("digits").digest()
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read(path) + (b"#" if path.name == "training.py" else b""))
    assert workloads.get("digits").digest() != before


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
    """A session of one code is not served by another: with other bytes in these files they would be of no use."""
    assert workloads.get(name).digest() == digest
