"""Sessions that wait for nobody, through real agents: each accepted update counts once."""

from __future__ import annotations

import pytest

from tests.e2e.stack import Stack

DIGITS = {"name": "digits", "options": {}}


@pytest.fixture
def site(stack: Stack) -> Stack:
    """Two quick agents and one that trains on many more digits."""
    for name in ("quick-1", "quick-2"):
        stack.agent(name, "--samples", "20")
    stack.agent("slow")
    stack.online(3)
    return stack


def seats(stack: Stack, session: str) -> list[dict]:
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
    train = {"epochs": 60, "batch_size": 8}
    session = site.session(workload=DIGITS, rounds=8, quorum=1, round_seconds=3, late_policy="next_round", train=train)
    site.ended(session)
    slow = [one for one in seats(site, session) if one["client"]["name"] == "slow"]
    assert any(one["status"] == "late" and one["counted_in"] for one in slow), slow
    assert "The server wants no more of this work" not in (site.folder / "slow.log").read_text().split("Dropped")[0]
    assert_each_counts_once(site, session)
