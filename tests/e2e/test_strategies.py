"""Strategies with real agents: the server and an agent are killed in between, and every model is the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from federation.fl.strategies import STRATEGIES as EVERY
from federation.killpoints import Point
from tests.e2e.outcome import assert_made_again, outcome
from tests.e2e.stack import Stack, running, until
from tests.e2e.test_robust_strategies import RULES

STRATEGIES: list[tuple[str, dict[str, Any]]] = [
    ("fedadagrad", {"server_lr": 0.01}),
    ("fedadam", {"bias_correction": True}),
    ("fedavg", {}),
    ("fedavgm", {"momentum": 0.5}),
    ("fedexp", {}),
    ("fednova", {}),
    ("feddyn", {"alpha": 0.2}),
    ("fedprox", {"mu": 0.5}),
    ("fedyogi", {}),
    ("qfedavg", {"q": 1.0}),
    ("scaffold", {}),
]
NAMES = ("north", "south")
SHARES = {"north": "1/2", "south": "2/2"}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Stack]:
    with running(tmp_path, killable=True) as stack:
        for name in NAMES:
            join(stack, name)
        stack.online(len(NAMES))
        yield stack


def join(stack: Stack, name: str) -> None:
    stack.agent(name, "--samples", "60", "--shard", SHARES[name], "--partition", "quantity:0.5")


def begin(stack: Stack) -> list[str]:
    wish = {"workload": {"name": "digits"}, "rounds": 2, "seed": 7, "quorum": 2, "cohort_size": 2}
    train = {"epochs": 2, "batch_size": 8, "learning_rate": 0.05}
    return [
        stack.session(**wish, train=train, strategy={"name": name, "options": options}) for name, options in STRATEGIES
    ]


def test_a_death_in_between_changes_no_model_of_any_strategy(site: Stack):
    undisturbed = [outcome(site, session) for session in begin(site)]
    digests = {one.models[-1] for one in undisturbed}
    assert len(digests) == len(STRATEGIES)  # each strategy makes a model of its own

    sessions = begin(site)
    site.kill_at("web", Point.AGGREGATED, time=2)  # of the first one, when its state is written and not published
    site.died("web")
    site.start("web")
    until(lambda: site.get(f"/sessions/{sessions[2]}")["completed_rounds"])
    site.kill_at("south", Point.TRAINED)
    site.died("south")
    join(site, "south")
    assert [outcome(site, session) for session in sessions] == undisturbed
    assert_made_again(site, [one.models[-1] for one in undisturbed])


KEEPING: dict[str, dict[str, Any]] = {
    "scaffold": {"strategy": {"name": "scaffold"}},
    "feddyn": {"strategy": {"name": "feddyn"}},
    "ditto": {"strategy": {"name": "ditto", "options": {"personal_lambda": 1.0}}},
    "fedper": {"stays": ["fc2.*"], "fine_tune_epochs": 1},
    "scaffold with own layers": {"strategy": {"name": "scaffold"}, "stays": ["norm*"]},
}


@pytest.mark.parametrize("name", KEEPING)
def test_what_clients_keep_outlives_their_deaths(site: Stack, name: str):
    asked, has_personal = KEEPING[name], name not in ("scaffold", "feddyn")
    wish = {"workload": {"name": "digits"}, "rounds": 4, "seed": 3, "quorum": 2, "cohort_size": 2}
    train = {"epochs": 1, "batch_size": 8, "learning_rate": 0.05}

    def launch() -> str:
        return site.session(**wish, train=train, **asked)

    first = launch()
    undisturbed, measured = outcome(site, first), personal(site, first)
    assert bool(measured) == has_personal
    site.kill_at("north", Point.TRAINED, time=2)  # what it keeps is written, the update is not
    site.kill_at("south", Point.UPDATE_KEPT, time=3)
    session = launch()
    for site_name in NAMES:
        site.died(site_name)
        join(site, site_name)
    assert (outcome(site, session), personal(site, session)) == (undisturbed, measured)
    kept = {name: [*(site.folder / "agents" / name / "kept").iterdir()] for name in NAMES}
    assert all(kept.values())


def personal(site: Stack, session: str) -> dict[str, float]:
    """What the sites found of their personal models at the session's end."""
    *_, last = site.get(f"/sessions/{session}/models", limit=1000)["items"]
    return {name: value for name, value in last["federated_metrics"].items() if name.startswith("personal_")}


def test_every_strategy_is_played_here_or_among_the_robust_ones():
    assert {name for name, _ in STRATEGIES} | {*RULES, "ditto"} == set(EVERY)
