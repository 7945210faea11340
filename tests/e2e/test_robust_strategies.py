"""Robust strategies with real agents: the server and an agent are killed in between, and every model is the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from federation.fl.strategies import STRATEGIES
from federation.fl.strategies.robust import Robust
from federation.killpoints import Point
from tests.e2e.outcome import assert_made_again, outcome
from tests.e2e.stack import Stack, running

NAMES = [f"site-{number}" for number in range(1, 8)]  # Bulyan needs seven updates against one liar
KILLED = NAMES[2]
RULES = [name for name, strategy in STRATEGIES.items() if issubclass(strategy, Robust)]
ASKED: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in RULES),
    ("trimmed_mean", {"before": "mixing"}),
    ("multi_krum", {"before": "mixing"}),
    ("centered_clipping", {"before": "bucketing"}),
]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Stack]:
    with running(tmp_path, killable=True) as stack:
        for name in NAMES:
            stack.agent(name, "--workload", "synthetic")
        stack.online(len(NAMES))
        yield stack


def begin(stack: Stack) -> list[str]:
    wish = {"rounds": 2, "seed": 7, "quorum": len(NAMES), "cohort_size": len(NAMES)}
    return [stack.session(**wish, strategy={"name": name, "options": options}) for name, options in ASKED]


def test_a_death_in_between_changes_no_model_of_any_robust_strategy(site: Stack):
    undisturbed = [outcome(site, session) for session in begin(site)]
    assert len({one.models[-1] for one in undisturbed}) == len(ASKED)  # each makes a model of its own

    site.kill_at(KILLED, Point.UPDATE_KEPT, time=4)
    sessions = begin(site)
    site.kill_at("web", Point.HALF_AGGREGATED, time=8)
    site.died(KILLED)
    site.agent(KILLED, "--workload", "synthetic")
    site.died("web")
    site.start("web")
    assert [outcome(site, session) for session in sessions] == undisturbed
    assert_made_again(site, [one.models[-1] for one in undisturbed])
