"""Flower's own quickstart apps at three sites: ten rounds with live curves, and the same model after a kill."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from federation.killpoints import Point
from tests.e2e.outcome import Outcome, outcome
from tests.e2e.stack import Stack, running, until
from tests.peers.flower import quickstarts

ROUNDS = 10
SITES = ("north", "south", "west")
INITIAL = ("--flower-initial", "quickstart.task:Net")
TRAIN = {"epochs": 1, "batch_size": 32, "learning_rate": 0.01}
KINDS = ["pytorch", "pytorch_legacy_api"]  # functions for messages, and a client_fn


@pytest.fixture(scope="module", params=KINDS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp(request.param)
    quickstarts.write(folder / "app", request.param, "quickstart")
    with running(folder / "data", env={"PYTHONWARNINGS": "default"}, killable=True) as stack:
        stack.app = folder / "app"
        for name in SITES:
            start(stack, name)
        stack.online(len(SITES))
        yield stack


def start(stack: Stack, name: str) -> None:
    part = f"partition-id={SITES.index(name)} num-partitions={len(SITES)}"
    stack.agent(name, "--flower-app", str(stack.app), "--flower-node-config", part, *INITIAL)


def session(stack: Stack, **change: object) -> str:
    wish = {"rounds": ROUNDS, "seed": 7, "quorum": 3, "cohort_size": 3, "workload": {"name": "quickstart"}}
    return stack.session(**{**wish, "train": TRAIN, "round_seconds": 600, **change})


@pytest.fixture(scope="module")
def undisturbed(site: Stack) -> tuple[str, Outcome]:
    made = session(site)
    site.ended(made, seconds=600)
    return made, outcome(site, made)


def test_every_site_trains_every_round_and_its_curve_is_live(site: Stack, undisturbed: tuple[str, Outcome]):
    made, found = undisturbed
    assert len(set(found.models)) == ROUNDS + 1
    curve = {(name, round_) for name, round_, what, _, _ in found.points if what == "train_loss"}
    assert curve == {(name, round_) for name in SITES for round_ in range(1, ROUNDS + 1)}
    assert site.get(f"/sessions/{made}")["workload"]["origin"] == "sites"


def test_the_sites_measure_the_last_model_with_the_app(site: Stack, undisturbed: tuple[str, Outcome]):
    (evaluation,) = site.get(f"/sessions/{undisturbed[0]}/rounds", kind="evaluate")["items"]
    assert evaluation["metrics"]["accuracy"] > 0.3, "of ten digits"
    assert evaluation["metrics"]["loss"] < 2.3


@pytest.mark.parametrize(("point", "time"), [(Point.TRAINED, 5), (Point.UPDATE_KEPT, 6)], ids=str)
def test_a_site_that_is_killed_in_the_middle_changes_no_model(
    site: Stack, undisturbed: tuple[str, Outcome], point: Point, time: int
):
    shaken = session(site, start=False)
    site.kill_at("south", point, time=time)
    assert site.post(f"/sessions/{shaken}/start").status_code == 200
    until(lambda: site.agents["south"].poll() is not None, seconds=600)
    site.died("south")
    start(site, "south")
    site.ended(shaken, seconds=600)
    assert outcome(site, shaken) == undisturbed[1]
