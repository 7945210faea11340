"""Sessions that wait for nobody, through real agents: each accepted update counts once."""

from __future__ import annotations

from typing import Any

import psutil
import pytest

from tests.e2e.stack import Stack, until

DIGITS = {"name": "digits", "options": {}}


@pytest.fixture
def site(stack: Stack) -> Stack:
    """Two quick agents, not quite alike, and one that trains on many more digits."""
    for name, samples in (("quick-1", "20"), ("quick-2", "30"), ("slow", "400")):
        stack.agent(name, "--samples", samples)
    stack.online(3)
    return stack


def seats(stack: Stack, session: str) -> list[dict[str, Any]]:
    """Every participation of a session, with the number of its round."""
    rounds = stack.get(f"/sessions/{session}/rounds", limit=1000)["items"]
    return [seat | {"round": one["number"]} for one in rounds for seat in one["participations"]]


def assert_each_counts_once(stack: Stack, session: str) -> None:
    """What was accepted sums to what went into models."""
    events = stack.events(session)
    accepted = {e["payload"]["participation"] for e in events if e["kind"] == "update.received"}
    accepted |= {
        e["payload"]["participation"] for e in events if e["kind"] == "update.late" and e["payload"]["accepted"]
    }
    all_ = seats(stack, session)
    counted = [one for one in all_ if one["status"] == "aggregated" or one["counted_in"] is not None]
    assert {one["id"] for one in counted} == accepted
    aggregated = [e["payload"]["updates"] for e in events if e["kind"] == "round.completed"]
    assert sum(aggregated) == len(accepted)


def test_an_agent_that_is_late_is_told_to_continue_and_counts(site: Stack):
    """It is frozen while the round closes without it; then it trains on, is asked to continue, and is answered 204."""
    warm_up(site)
    change = {"rounds": 2, "quorum": 1, "round_seconds": 600, "late_policy": "next_round"}
    session = site.session(workload=DIGITS, **change, train={"epochs": 12, "batch_size": 8})
    slow = psutil.Process(site.agents["slow"].pid)
    until(lambda: first_of_slow(site, session)["status"] == "training")
    slow.suspend()
    until(lambda: [one["status"] for one in seats(site, session)].count("reported") == 2, why="the quick agents")
    site.post(f"/sessions/{session}/pause")  # so that the second round waits for it
    assert site.post(f"/sessions/{session}/round/finish").status_code == 200
    until(lambda: site.get(f"/sessions/{session}")["completed_rounds"])
    assert first_of_slow(site, session)["status"] == "training", "it goes on"
    slow.resume()
    until(lambda: first_of_slow(site, session)["status"] == "late", seconds=180)
    site.post(f"/sessions/{session}/resume")
    assert site.ended(session)["status"] == "completed"
    first = first_of_slow(site, session)
    assert (first["round"], first["status"], first["counted_in"]) == (1, "late", 2)
    assert "Dropped" not in (site.folder / "slow.log").read_text()
    assert_each_counts_once(site, session)


def first_of_slow(stack: Stack, session: str) -> dict[str, Any]:
    """The first participation of the slow agent; before it has one, of none."""
    found = (one for one in seats(stack, session) if one["client"]["name"] == "slow")
    return next(found, {"status": ""})


def warm_up(stack: Stack) -> None:
    """Let every agent load what it trains with: that takes seconds the first time."""
    stack.ended(stack.session(name="first", workload=DIGITS, rounds=1, quorum=3))


def test_a_buffered_session_counts_every_update_once(site: Stack):
    train = {"epochs": 30, "batch_size": 8}
    schedule = {"name": "buffered"}
    session = site.session(workload=DIGITS, rounds=8, quorum=2, schedule=schedule, train=train)
    ended = site.ended(session)
    assert (ended["status"], ended["schedule"]) == ("completed", {"name": "buffered", "options": {}})
    assert_each_counts_once(site, session)
    kinds = [e["kind"] for e in site.events(session)]
    assert "seat.invited" in kinds
    assert "round.failed" not in kinds


def test_an_over_selected_session_waits_for_nobody(site: Stack):
    schedule = {"name": "over_selected", "options": {"extra": 0.5}}
    session = site.session(workload=DIGITS, rounds=3, quorum=2, schedule=schedule, train={"epochs": 30})
    assert site.ended(session)["status"] == "completed"
    rounds = site.get(f"/sessions/{session}/rounds", limit=1000)["items"]
    assert {sum(one["status"] == "aggregated" for one in each["participations"]) for each in rounds} == {2}
