"""Private sessions with real agents: what is killed in between makes the same noise, and no round is counted twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from federation.fl.privacy.spending import Cost, epsilon
from federation.killpoints import Point
from tests.e2e.browser import pressing
from tests.e2e.outcome import outcome
from tests.e2e.stack import Stack, running, until

NAMES = ("north", "south")
SHARES = {"north": "1/2", "south": "2/2"}
ROUNDS = 3
KEY = "5a" * 32
KINDS: dict[str, dict[str, Any]] = {
    "fixed clip, FedAvg": {
        "privacy": {"name": "fixed", "options": {"clip": 0.5}},
        "strategy": {"name": "fedavg", "options": {"weighting": "equal"}},
    },
    "adaptive clip, FedAdam": {
        "privacy": {"name": "adaptive", "options": {"clip": 0.5}},
        "strategy": {"name": "fedadam", "options": {"bias_correction": True}},
    },
}
SPENT = """
from federation.models import Round
found = list(Round.objects.filter(session={session}, kind="train").order_by("number").values_list("outcome", "privacy"))
assert [outcome for outcome, _ in found] == ["model"] * {rounds}, found
told = [noted["epsilon"] for _, noted in found]
assert all(abs(a - b) < 1e-9 for a, b in zip(told, {epsilons}, strict=True)), told
"""
MAKE_AGAIN = """
from federation.models import GlobalModel
from federation import storage
from federation.services import repair
from federation.services.models import damage
model = GlobalModel.objects.get(session={session}, version=2)
storage.path(model.digest).unlink()
damage.note({{model.digest}})
assert repair.mend({session})
model.refresh_from_db()
assert model.file_status == "stored" and storage.is_whole(model.digest)
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Stack]:
    with running(tmp_path, killable=True) as stack:
        for name in NAMES:
            join(stack, name)
        stack.online(len(NAMES))
        yield stack


def join(stack: Stack, name: str) -> None:
    stack.agent(name, "--samples", "60", "--shard", SHARES[name], "--partition", "iid")


def drafted(stack: Stack, asked: dict[str, Any], key: str | None = KEY) -> str:
    """A session whose secret is known, so that another one can have the same noise."""
    wish = {"workload": {"name": "digits"}, "rounds": ROUNDS, "seed": 7, "quorum": 2, "cohort_size": 2}
    train = {"epochs": 1, "batch_size": 8, "learning_rate": 0.05}
    session = stack.session(**wish, train=train, start=False, **asked)
    if key is not None:
        code = "from federation.models import NoiseKey\n"
        stack.shell(code + f"assert NoiseKey.objects.filter(session={session}).update(key={key!r}) == 1")
    return session


def launch(stack: Stack, session: str) -> str:
    assert stack.post(f"/sessions/{session}/start").status_code == 200
    return session


@pytest.mark.parametrize("asked", KINDS.values(), ids=KINDS)
def test_deaths_in_between_change_no_model_and_cost_nothing(site: Stack, asked: dict[str, Any]):
    undisturbed = outcome(site, launch(site, drafted(site, asked)))

    disturbed = drafted(site, asked)
    site.kill_at("web", Point.AGGREGATED, time=2)  # noise is added, nothing is published
    site.kill_at("south", Point.TRAINED, time=3)
    launch(site, disturbed)
    site.died("web")
    site.start("web")
    site.died("south")
    join(site, "south")
    assert outcome(site, disturbed) == undisturbed

    epsilons = [epsilon([Cost(1.0)] * rounds, 1e-5) for rounds in range(1, ROUNDS + 1)]
    site.shell(SPENT.format(session=disturbed, rounds=ROUNDS, epsilons=epsilons))
    site.shell(MAKE_AGAIN.format(session=disturbed))

    another = outcome(site, launch(site, drafted(site, asked, key=None)))
    assert another.models[0] == undisturbed.models[0] and not set(another.models[1:]) & set(undisturbed.models)


def test_a_session_with_a_budget_ends_before_it_is_exceeded(site: Stack):
    options = {"clip": 0.5, "budget": epsilon([Cost(1.0)] * 2, 1e-5)}
    asked = {**KINDS["fixed clip, FedAvg"], "privacy": {"name": "fixed", "options": options}}
    session = launch(site, drafted(site, asked))
    assert site.ended(session)["completed_rounds"] == 2
    told = until(lambda: [e["payload"] for e in site.events(session) if e["kind"] == "session.completed"])
    assert told[0]["privacy"]["budget"] == options["budget"] and told[0]["privacy"]["next"] > options["budget"]


def test_the_form_says_at_once_what_does_not_go_together_and_what_it_costs(stack: Stack):
    with pressing(stack.url, at="") as page:
        page.goto(stack.url + "/sessions/new/")
        page.select_option("[name=privacy]", "fixed")
        weighting = page.locator('[data-field="strategy.fedavg.weighting"] .field__error')
        expect(weighting).to_contain_text("With differential privacy every client counts the same. Choose equal.")
        expect(page.locator("#estimate")).to_contain_text("at delta 1e-05", timeout=60_000)
        page.select_option('[name="strategy.fedavg.weighting"]', "equal")
        expect(weighting).to_be_hidden()
        page.select_option("[name=strategy]", "fedmedian")
        median = page.locator('[data-field="strategy"] .field__error').first
        expect(median).to_contain_text("privacy shows it only their noised mean. Choose one of: FedAvg, ")
