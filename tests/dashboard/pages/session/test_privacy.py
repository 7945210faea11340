"""What a private session's page says, and the estimate beside the form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from dashboard.pages.new_session import privacy_estimate
from dashboard.pages.session import spending
from federation.fl.privacy.spending import Cost, epsilon
from federation.models import Client, TrainingSession
from federation.services import sessions
from federation.session_settings import Spec
from tests.dashboard.cast import finish_round
from tests.dashboard.markup import compact

Create = Callable[..., TrainingSession]
EQUAL = {"weighting": "equal"}
TYPED = {
    "name": "quiet", "workload": "synthetic", "workload.synthetic.num_parameters": "12", "rounds": "4",
    "round_time": "2", "round_unit": "min", "quorum": "1", "epochs": "2", "batch_size": "16", "learning_rate": "0.05",
    "seed": "7", "max_retries": "3", "on_round_failure": "skip", "late_policy": "drop", "compression": "none",
    "strategy": "fedavg", "strategy.fedavg.server_lr": "1", "strategy.fedavg.weighting": "equal",
    "privacy": "fixed", "privacy.fixed.clip": "0.5", "privacy.fixed.noise_multiplier": "2", "fine_tune_epochs": "0",
}  # fmt: skip


@pytest.fixture
def private(create: Create, enrol: Callable[..., list[Client]], settled: Any) -> Callable[..., TrainingSession]:
    def private(rounds: int = 2, **options: Any) -> TrainingSession:
        enrol("north", "south")
        chosen = {"privacy": "fixed", "privacy_options": options, "strategy_options": EQUAL}
        session = create(start=True, rounds=rounds + 1, **chosen)
        for _ in range(rounds):
            settled(session)
            finish_round(session, "north", "south")
        return TrainingSession.objects.get(pk=session.pk)

    return private


def shown(browser: Browser, session: TrainingSession) -> str:
    return compact(browser.get(reverse("session_privacy", args=[session.pk])).content.decode())


def test_epsilon_is_shown_after_each_round_beside_its_budget(browser: Browser, private: Any) -> None:
    session = private(budget=20.0)
    two = epsilon([Cost(1.0)] * 2, 1e-5)
    page = shown(browser, session)
    assert f"<strong>{two:.3f}</strong>at delta 1e-05" in page and "after round 2" in page
    assert f"20.000, {100 * two / 20:.0f} % spent" in page
    assert "1.000 clips on the sum" in page and "0.500 on each weight of the mean" in page
    assert "Epsilon after the last rounds: round 1: 4.729; round 2: " in page
    assert page.count("<polyline") == 1 and page.count("<line") == 1


def test_before_its_first_round_it_says_that_nothing_is_spent(browser: Browser, private: Any) -> None:
    page = shown(browser, private(rounds=0))
    assert "nothing spent by this session yet" in page and "no limit" in page and "<polyline" not in page


def test_other_sessions_show_nothing_of_it(browser: Browser, create: Create) -> None:
    session = create()
    assert 'id="privacy"' not in browser.get(reverse("session", args=[session.pk])).content.decode()
    answer = browser.get(reverse("session_privacy", args=[session.pk]))
    assert (answer.status_code, answer.content) == (200, b"")


def test_of_a_budget_nothing_is_said_to_be_spent_before_a_round_tells(browser: Browser, private: Any) -> None:
    """Sessions before it may have spent some of it."""
    session = private(rounds=1, budget=50.0)
    assert "% spent" in shown(browser, session)
    session.own_rounds.update(privacy=None)
    assert "spent by this session yet" in shown(browser, session) and "% spent" not in shown(browser, session)


def test_the_line_rises_to_its_last_value(private: Any) -> None:
    spent = spending.of(private(rounds=3))
    assert spent is not None
    points = [tuple(map(float, point.split(","))) for point in spent.line.split()]
    assert [x for x, _ in points] == [0.0, 160.0, 320.0]
    assert points[0][1] > points[1][1] > points[2][1] == 2.0


def test_sessions_that_were_trained_before_are_named(browser: Browser, private: Any, mara: Any) -> None:
    first = private()
    sessions.cancel(first, by=mara, now=timezone.now())
    second = sessions.go_on(first, rounds_=1, by=mara, now=timezone.now())
    assert "Includes 2 rounds of 1 earlier session over the same data." in shown(browser, second)


def test_one_without_privacy_before_it_is_a_warning(browser: Browser, private: Any, create: Create) -> None:
    first = private()
    TrainingSession.objects.filter(pk=first.pk).update(privacy="none", name="open one")
    second = create(start_from=(first.pk, 1), privacy="fixed", strategy_options=EQUAL)
    assert "open one, which this session trains further, was not private." in shown(browser, second)


# ---- the estimate


SPEC = Spec(name="one", workload="synthetic", rounds=4, privacy="fixed", privacy_options={"clip": 0.5})


@pytest.mark.django_db
def test_the_estimate_is_the_accountant_s_for_all_rounds() -> None:
    planned = privacy_estimate.of(SPEC, online=10, asked=10)
    assert planned is not None and planned.epsilon == pytest.approx(epsilon([Cost(1.0)] * 4, 1e-5))
    assert planned.deviation == 0.05 and not planned.amplified and planned.affordable is None


@pytest.mark.django_db
def test_an_adaptive_clip_has_more_noise_on_the_weights() -> None:
    planned = privacy_estimate.of(replace(SPEC, privacy="adaptive"), online=10, asked=10)
    assert planned is not None and planned.deviation == pytest.approx(0.05 * 0.75**-0.5)


@pytest.mark.django_db
def test_it_says_after_how_many_rounds_a_budget_is_spent() -> None:
    options = {"clip": 0.5, "budget": epsilon([Cost(1.0)] * 2, 1e-5)}
    planned = privacy_estimate.of(replace(SPEC, privacy_options=options), online=10, asked=10)
    assert planned is not None and planned.exceeds and planned.affordable == 2


@pytest.mark.django_db
@pytest.mark.parametrize("online, amplified", [(4, False), (100, True)])
def test_poisson_is_amplified_with_enough_clients(online: int, amplified: bool) -> None:
    spec = Spec(
        name="one",
        workload="synthetic",
        rounds=4,
        privacy="fixed",
        selection="poisson",
        selection_options={"rate": 0.5},
    )
    planned = privacy_estimate.of(spec, online=online, asked=online)
    assert planned is not None and planned.amplified is amplified and planned.clients == online / 2
    assert planned.epsilon == pytest.approx(epsilon([Cost(1.0, 0.5 if amplified else 1.0)] * 4, 1e-5))


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [
        {"privacy": "none"},
        {"privacy": "local"},
        {"privacy_options": {"clip": -1}},
        {"privacy_options": {"noise_multiplier": "x"}},
        {"rounds": 0},
        {"selection": "poisson", "selection_options": {"rate": "much"}},
    ],
)
def test_what_is_not_private_or_not_allowed_has_no_estimate(change: dict[str, Any]) -> None:
    given: dict[str, Any] = {"name": "one", "workload": "synthetic", "rounds": 4, "privacy": "fixed"} | change
    assert privacy_estimate.of(Spec(**given), online=10, asked=10) is None


def test_the_form_shows_it(browser: Browser, enrol: Callable[..., list[Client]]) -> None:
    enrol("north")
    page = compact(browser.post(reverse("session_estimate"), TYPED).content.decode())
    assert f"Epsilon after 4 rounds</dt><dd>{epsilon([Cost(2.0)] * 4, 1e-5):.3f}" in page


def test_a_private_session_is_launched_from_the_form(browser: Browser) -> None:
    browser.post(reverse("session_new"), TYPED | {"launch": "1"})
    session = TrainingSession.objects.get()
    assert session.privacy == "fixed"
    assert session.privacy_options == {"noise_multiplier": 2.0, "clip": 0.5, "delta": 1e-5, "budget": None}


@pytest.mark.parametrize(
    "change, field, said",
    [
        ({"strategy": "fedmedian"}, "strategy", "Median looks at each client's own update"),
        ({"strategy.fedavg.weighting": "examples"}, "strategy.fedavg.weighting", "Choose equal."),
        ({"schedule": "buffered"}, "schedule", "Choose Synchronous."),
        ({"privacy.fixed.budget": "0.5"}, "privacy.fixed.budget", "One round alone costs"),
    ],
)
def test_the_form_says_beside_the_field_what_does_not_go_together(
    browser: Browser, change: dict[str, str], field: str, said: str
) -> None:
    errors = browser.post(reverse("session_check"), TYPED | change).json()["errors"]
    assert said in errors[field]
