"""Real agents measure models, beside one of version 0.1.0 that only trains, whenever one of them is killed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from federation.killpoints import Point
from tests.e2e.outcome import Outcome, outcome, start
from tests.e2e.stack import Stack, running
from tests.fixtures.archive import agent

NEW, OLD = ("north", "south"), "old"
SESSION: dict[str, Any] = {
    "workload": {"name": "digits", "options": {}},
    "rounds": 2,
    "quorum": 3,
    "cohort_size": 3,
    "seed": 7,
    "train": {"epochs": 1, "batch_size": 8, "learning_rate": 0.03},
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("evaluating"), killable=True) as stack:
        stack.agent_command = agent("0.1.0", stack.folder / "first-version")
        begin(stack, OLD, 3)
        stack.agent_command = Stack.agent_command
        for number, name in enumerate(NEW, start=1):
            begin(stack, name, number)
        stack.online(3)
        yield stack


def begin(stack: Stack, name: str, number: int) -> None:
    stack.agent(name, "--partition", "iid", "--shard", f"{number}/3", "--samples", "90")


@pytest.fixture(scope="module")
def undisturbed(site: Stack) -> tuple[Outcome, dict[str, Any]]:
    session = site.session(**SESSION)
    return outcome(site, session), evaluation(site, session)


def evaluation(site: Stack, session: str) -> dict[str, Any]:
    """What the sites found, and who reported which result."""
    (found,) = site.get(f"/sessions/{session}/rounds", kind="evaluate")["items"]
    seats = {seat["client"]["name"]: (seat["status"], seat["num_examples"]) for seat in found["participations"]}
    return {"outcome": found["outcome"], "metrics": found["metrics"], "errors": found["errors"], "seats": seats}


def test_the_last_model_is_measured_by_those_that_can(undisturbed: tuple[Outcome, dict[str, Any]]):
    trained, measured = undisturbed
    assert len(trained.models) == 3 and measured["outcome"] == "numbers" and not measured["errors"]
    assert measured["seats"].keys() == {*NEW}
    assert all(status == "reported" and examples > 0 for status, examples in measured["seats"].values())
    assert measured["metrics"].keys() == {"accuracy", "loss"} and 0.0 < measured["metrics"]["accuracy"] <= 1.0


@pytest.mark.parametrize("point", [Point.EVALUATING, Point.RESULT_KEPT])
def test_an_agent_is_killed_while_it_evaluates(site: Stack, undisturbed: tuple[Outcome, dict[str, Any]], point: Point):
    session = site.session(start=False, **SESSION)
    site.kill_at("south", point)
    start(site, session)
    site.died("south")
    begin(site, "south", 2)
    assert (outcome(site, session), evaluation(site, session)) == undisturbed
    log = (site.folder / "south.log").read_text()
    assert ("measured before; sending the result that was kept" in log) == (point is Point.RESULT_KEPT)


def test_any_model_is_measured_on_demand(site: Stack, undisturbed: tuple[Outcome, dict[str, Any]]):
    trained, measured = undisturbed
    body = {"kind": "evaluate", "initial_model": trained.models[2], "name": "again"}
    answer = site.post("/sessions", body)
    assert answer.status_code == 201, answer.text
    assert site.ended(session := answer.json()["id"])["status"] == "completed"
    assert evaluation(site, session) == measured
