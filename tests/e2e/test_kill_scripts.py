"""Kill a script, or its server, at any moment: the session ends with the same model, measured the same.

One script keeps an array's momentum at the site; of the other, in torch, only the trainable tensors leave the site.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from federation.fl import weights
from federation.killpoints import Point
from tests.e2e.outcome import ENV, Outcome, outcome, start
from tests.e2e.stack import ROOT, Stack, running

SCRIPTS = ROOT / "tests" / "e2e" / "scripts"
NAMES = ["momentum", "trainable"]
SITES = ("north", "south")

# The point, and which time it is reached. A session makes version 0, trains two rounds of four steps and is measured.
SCRIPT = [
    (Point.INITIAL_KEPT, 1),
    (Point.DOWNLOAD_HALF_READ, 1),
    (Point.TRAINING, 2),
    (Point.TRAINING, 6),
    (Point.TRAINED, 2),
    (Point.UPDATE_KEPT, 1),
    (Point.UPDATE_KEPT, 2),
    (Point.PART_HALF_SENT, 2),  # of version 0
    (Point.PART_HALF_SENT, 8),  # of the second update
    (Point.REPORTED, 3),  # after the second update
    (Point.EVALUATING, 1),
    (Point.RESULT_KEPT, 1),
]
KEEPS = [*SCRIPT[:1], *SCRIPT[3:7], *SCRIPT[9:]]  # where the script that keeps a momentum is killed
CASES = [("trainable", *case) for case in SCRIPT] + [("momentum", *case) for case in KEEPS]
SERVER = [
    (Point.DOWNLOAD_HALF_SENT, 2),
    (Point.METRICS_HALF_WRITTEN, 2),
    (Point.PART_HALF_WRITTEN, 8),
    (Point.UPDATE_ACCEPTED, 2),
    (Point.ANSWER_LOST, 3),
    (Point.HALF_AGGREGATED, 2),
]

Found = tuple[Outcome, dict[str, Any]]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("kill") / "data", env=ENV, killable=True) as stack:
        for script in NAMES:
            for site in range(len(SITES)):
                begin(stack, script, site)
        stack.online(len(NAMES) * len(SITES))
        yield stack


def begin(stack: Stack, script: str, site: int = 0) -> None:
    stack.script(f"{script}-{SITES[site]}", SCRIPTS / f"{script}.py", str(site))


def settings(script: str) -> dict[str, Any]:
    workload = {"name": script, "options": {}}
    return {"workload": workload, "rounds": 2, "seed": 7, "quorum": 2, "cohort_size": 2}


def found(stack: Stack, session: str) -> Found:
    """What a session left behind, and what its last model measures."""
    trained = outcome(stack, session)
    (evaluation,) = stack.get(f"/sessions/{session}/rounds", kind="evaluate")["items"]
    return trained, evaluation["metrics"]


@pytest.fixture(scope="module")
def undisturbed(stack: Stack) -> dict[str, Found]:
    return {script: found(stack, stack.session(**settings(script))) for script in NAMES}


def test_only_what_is_trained_leaves_the_site(stack: Stack, undisturbed: dict[str, Found]):
    trained, _ = undisturbed["trainable"]
    assert len(set(trained.models)) == 3
    for digest in trained.models:
        (kept,) = stack.folder.glob(f"weights/*/{digest}.safetensors")
        assert list(weights.read_header(kept).tensors) == ["1.0.weight", "1.2.bias", "1.2.weight"]


@pytest.mark.parametrize(("script", "point", "time"), CASES, ids=str)
def test_a_script_is_killed(stack: Stack, undisturbed: dict[str, Found], script: str, point: Point, time: int):
    session, victim = stack.session(start=False, **settings(script)), f"{script}-{SITES[0]}"
    stack.kill_at(victim, point, time=time)
    start(stack, session)
    stack.died(victim)
    begin(stack, script)
    assert found(stack, session) == undisturbed[script]


@pytest.mark.parametrize(("point", "time"), SERVER, ids=str)
def test_the_server_of_a_script_is_killed(stack: Stack, undisturbed: dict[str, Found], point: Point, time: int):
    session = stack.session(start=False, **settings("trainable"))
    stack.kill_at("web", point, time=time)
    start(stack, session)
    stack.died("web")
    stack.start("web")
    assert found(stack, session) == undisturbed["trainable"]
