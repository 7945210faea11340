"""Selections with real agents: the server and an agent are killed in between, and the same clients are asked."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from federation.killpoints import Point
from tests.e2e.outcome import Outcome, outcome
from tests.e2e.stack import Stack, running

NAMES = ("north", "south", "west")
SELECTIONS: list[dict[str, Any]] = [
    {"selection": {"name": "round_robin"}, "cohort_size": 2},
    {"selection": {"name": "power_of_choice", "options": {"candidates": 3}}, "cohort_size": 2},
    {"selection": {"name": "by_tag"}, "cohort_size": 2},
    {"selection": {"name": "poisson", "options": {"rate": 0.4}}},
]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Stack]:
    with running(tmp_path, killable=True) as stack:
        for name in NAMES:
            stack.agent(name)
        stack.online(len(NAMES))
        yield stack


def train(stack: Stack, wish: dict[str, Any], *, killed: bool = False) -> tuple[Outcome, list[Any]]:
    """What a session left, and whom its rounds asked for which reason. killed: the server dies, and an agent."""
    if killed:
        stack.kill_at("web", Point.PUBLISHED, time=1)
    workload = {"name": "synthetic", "options": {"num_parameters": 1000}}
    session = stack.session(workload=workload, rounds=3, seed=7, quorum=1, **wish)
    if killed:
        stack.died("web")
        os.killpg(stack.agents["north"].pid, signal.SIGKILL)
        stack.agents.pop("north").wait()
        stack.start("web")
        stack.agent("north")
    found = outcome(stack, session)
    return found, [(one["clients"], one["selection"]) for one in _opened(stack, session)]


def _opened(stack: Stack, session: str) -> list[dict[str, Any]]:
    return [event["payload"] for event in stack.events(session) if event["kind"] == "round.opened"]


def test_a_death_in_between_asks_the_same_clients(site: Stack):
    for wish in SELECTIONS:
        undisturbed = train(site, wish)
        assert len(undisturbed[1]) == 3
        assert train(site, wish, killed=True) == undisturbed
