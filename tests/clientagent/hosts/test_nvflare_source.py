"""What the text of an NVFlare script tells, and the steps of what it logs."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clientagent.errors import Misconfigured
from clientagent.hosts.nvflare import points, source
from clientagent.hosts.nvflare.points import Points
from federation.fl.measures import Direction

SCRIPT = '''"""Trains a network.

More of it.
"""
import nvflare.client as flare
from pkg.sub import thing
from network import Net
import json, missing

flare.send(flare.FLModel(metrics={"val_accuracy": 1, "loss": 2, "": 3, name: 4}))
flare.send(flare.FLModel(metrics={"accuracy": 1, "dice": 5}, params=None))
'''


@pytest.fixture
def written(tmp_path: Path) -> Path:
    (tmp_path / "pkg").mkdir()
    (tmp_path / "pkg" / "__init__.py").write_text("import unused_here\n")
    (tmp_path / "pkg" / "sub.py").write_text("import torch\nimport pkg\nthing = 1\n")
    (tmp_path / "network.py").write_text("this is no Python\n")
    (tmp_path / "job.py").write_text("import nvflare\n")
    (tmp_path / "client.py").write_text(SCRIPT)
    return tmp_path / "client.py"


def test_the_script_and_what_it_imports_from_its_folder_are_its_source(written: Path):
    found = source.read(written)
    assert {file.relative_to(written.parent).as_posix() for file in found.files} == {
        "client.py",
        "network.py",
        "pkg/__init__.py",
        "pkg/sub.py",
    }
    assert found.summary == "Trains a network."
    assert found.takes_tensors, "a module of its folder imports torch"
    assert not found.evaluates


def test_what_it_sends_as_metrics_are_its_measures(written: Path):
    assert source.read(written).measures == ("accuracy", "loss", "dice")
    accuracy, dice = source.measure("accuracy"), source.measure("dice")
    assert (accuracy.direction, accuracy.unit) == (Direction.MAX, ""), "0.9 and 90 both occur"
    assert dice.direction == Direction.NONE


@pytest.mark.parametrize("asks", ["flare.is_evaluate()", "from nvflare.client import is_evaluate\nis_evaluate()"])
def test_it_evaluates_if_it_asks_whether_it_is_to(written: Path, asks: str):
    written.write_text(f"import nvflare.client as flare\n{asks}\n")
    found = source.read(written)
    assert found.evaluates and not found.takes_tensors


def test_another_program_is_told_how_it_takes_part(written: Path):
    written.write_text("import torch\n")
    with pytest.raises(
        Misconfigured, match=r"Another training program takes part with: run.py \.\.\. -- python client"
    ):
        source.read(written)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refused(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refused)
    with pytest.raises(Misconfigured, match=r"--nvflare-script: .*train\.py cannot be read: Permission denied\."):
        source.read(tmp_path / "train.py")


Steps = st.lists(st.integers(0, 10**6), min_size=1, max_size=20).map(sorted)


@given(rounds=st.lists(Steps, min_size=1, max_size=4), through=st.booleans())
def test_steps_of_a_work_keep_their_order_and_distance_whatever_was_before(rounds: list[list[int]], through: bool):
    kept, done = None, 0
    for steps in rounds:
        given_ = [done + step for step in steps] if through else steps
        now = Points(kept)
        told = [now.step("loss", step) for step in given_]
        assert all(step is not None and step >= 0 for step in told)
        assert [b - a for a, b in zip(told, told[1:], strict=False)] == [
            b - a for a, b in zip(given_, given_[1:], strict=False)
        ]
        kept, done = now.last, given_[-1]


@pytest.mark.parametrize("no_step", [None, 1.5, "3"])
def test_without_a_whole_number_a_point_has_no_step_of_its_own(no_step: object):
    assert Points(None).step("loss", no_step) is None


def test_a_name_is_one_that_the_server_takes():
    assert points.numbers("a\nb" * 40, 1.0, "SCALAR") == {("a_b" * 40)[:64]: 1.0}
    assert points.numbers(" ", 1.0, "METRIC") == {"value": 1.0}
    assert points.numbers("a", 1.0, "SCALARS") == points.numbers("a", "b", "TEXT") == {}
