"""A plain training script takes part with five more lines: live points, and the same model after a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from federation.fl import weights
from federation.killpoints import Point
from tests.e2e.examples import sites_with
from tests.e2e.outcome import outcome
from tests.e2e.stack import ROOT, Stack, running, until

EXAMPLES = ROOT / "docs" / "examples"
TRAIN = {"epochs": 1, "batch_size": 32, "learning_rate": 0.1}


@pytest.fixture
def stack(tmp_path: Path):
    with running(tmp_path / "data", killable=True) as stack:
        yield stack


def start(stack: Stack, example: str, name: str, site: int) -> None:
    stack.script(name, EXAMPLES / example / "federated.py", str(site))


def session(stack: Stack, workload: str, **change: Any) -> str:
    wish = {"workload": {"name": workload, "options": {}}, "rounds": 2, "seed": 7, "quorum": 2, "cohort_size": 2}
    return stack.session(train=TRAIN, **wish | change)


def measured(stack: Stack, learnt: str) -> None:
    """The sites measured the last model, which is better than chance."""
    (evaluation,) = stack.get(f"/sessions/{learnt}/rounds", kind="evaluate")["items"]
    assert evaluation["metrics"]["accuracy"] > 0.2


@pytest.mark.parametrize(
    ("example", "workload", "tensors"), [("pytorch", "digits-in-torch", 4), ("adapters", "adapter", 3)]
)
def test_a_script_in_torch_ends_with_the_same_model_after_a_kill(
    stack: Stack, example: str, workload: str, tensors: int
):
    for site, name in enumerate(("north", "south")):
        start(stack, example, name, site)
    until(lambda: sites_with(stack, workload) == 2, why=f"two sites; logs are in {stack.folder}")
    undisturbed = session(stack, workload)
    before = outcome(stack, undisturbed)
    assert {(name, what) for name, _, what, _, _ in before.points} >= {("north", "train_loss"), ("south", "train_loss")}
    measured(stack, undisturbed)
    (kept,) = stack.folder.glob(f"weights/*/{before.models[-1]}.safetensors")
    assert len(weights.read_header(kept).tensors) == tensors

    shaken = session(stack, workload, start=False)
    stack.kill_at("north", Point.TRAINING, time=30)  # in the second round of 22 batches
    assert stack.post(f"/sessions/{shaken}/start").status_code == 200
    stack.died("north")
    start(stack, example, "north", 0)
    assert outcome(stack, shaken).models == before.models


def test_the_tutorial_has_the_script_that_runs_here():
    assert (EXAMPLES / "pytorch" / "federated.py").read_text() in (ROOT / "docs" / "scripts.md").read_text()
