"""The numbers that stay with a model: the first ones, where they come from, and what was found since."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from dashboard.kit import evaluations
from dashboard.pages.models import kept
from federation.models import GlobalModel, TrainingSession
from federation.services import sessions
from tests.dashboard.cast import Enrol
from tests.dashboard.markup import compact
from tests.federation.services.evaluating import declare, measure, take

Settled = Callable[[TrainingSession], TrainingSession]


@pytest.fixture
def model(trained: TrainingSession, enrol: Enrol) -> GlobalModel:
    """v1, of which the clients of round 2 reported an accuracy of 0.75 before they trained from it."""
    declare(trained)
    sessions.cancel(trained, by=None, now=timezone.now())
    enrol("dora", kinds=["train", "evaluate"])
    return trained.models.get(version=1)


def evaluate(model: GlobalModel, settled: Settled, **found: float) -> TrainingSession:
    now = timezone.now()
    session = settled(sessions.evaluate(model, by=None, now=now))
    take("dora", now)
    measure("dora", now, **found)
    settled(session)
    model.refresh_from_db()
    return session


def numbers(model: GlobalModel) -> dict[str, kept.Number]:
    found = evaluations.of_model(model.digest)
    return {one.measure.name: one for one in kept.of(model, found[0] if found else None)}


def test_a_number_of_the_training_stays_and_the_newest_one_is_beside_it(
    browser: Browser, model: GlobalModel, settled: Settled
) -> None:
    before = numbers(model)
    assert list(before) == ["accuracy", "loss"]
    assert (before["accuracy"].value, before["accuracy"].found, before["accuracy"].newer) == (0.75, None, None)
    evaluate(model, settled, accuracy=0.5)
    after = numbers(model)["accuracy"]
    assert (after.value, after.found, after.newer) == (0.75, None, 0.5)
    page = compact(browser.get(reverse("model", args=[model.pk])).content.decode())
    assert "reported when they trained from it" in page and "0.500 in the newest evaluation" in page


def test_a_number_that_an_evaluation_found_first_names_it(
    browser: Browser, model: GlobalModel, settled: Settled
) -> None:
    first = evaluate(model, settled, gap=3.0)
    found = numbers(model)["gap"]
    assert found.found and found.found.session == first and (found.value, found.newer) == (3.0, None)
    second = evaluate(model, settled, gap=2.0)
    found = numbers(model)["gap"]
    assert found.found and found.found.session == first and (found.value, found.newer) == (3.0, 2.0)
    page = compact(browser.get(reverse("model", args=[model.pk])).content.decode())
    assert f'first measured by<a href="{reverse("session", args=[first.pk])}">' in page
    assert "2.000 in the newest evaluation" in page and second.name in page


def test_what_was_found_again_is_not_said_twice(model: GlobalModel, settled: Settled) -> None:
    evaluate(model, settled, accuracy=0.75, gap=1.0)
    evaluate(model, settled, accuracy=0.75, gap=1.0)
    assert [one.newer for one in numbers(model).values()] == [None, None, None]


def test_many_numbers_are_folded(browser: Browser, model: GlobalModel) -> None:
    GlobalModel.objects.filter(pk=model.pk).update(federated_metrics={f"m{n:03}": n / 7 for n in range(40)})
    page = compact(browser.get(reverse("model", args=[model.pk])).content.decode())
    assert "<summary>32 more numbers</summary>" in page
    assert "first number stays with the model" in page


def test_a_model_that_nobody_measured_says_so(browser: Browser, model: GlobalModel) -> None:
    GlobalModel.objects.filter(pk=model.pk).update(federated_metrics={}, metrics={})
    page = compact(browser.get(reverse("model", args=[model.pk])).content.decode())
    assert "Not measured" in page and "first number stays" not in page


@pytest.mark.parametrize("odd", [[], "x", {"accuracy": "high"}, {"accuracy": None}])
def test_rows_that_no_service_wrote_stop_no_page(browser: Browser, model: GlobalModel, odd: object) -> None:
    GlobalModel.objects.filter(pk=model.pk).update(federated_metrics=odd, metrics=odd)
    assert browser.get(reverse("model", args=[model.pk])).status_code == 200
