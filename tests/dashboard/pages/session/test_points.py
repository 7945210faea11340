"""The points of live curves as the browser gets them."""

from collections.abc import Callable

from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from dashboard.pages.session import curves
from federation.models import Metric, TrainingSession
from federation.services import rounds
from tests.dashboard.cast import fail_round, finish_round, stream


def test_points_come_with_the_number_of_the_event_to_go_on_from(browser: Browser, running: TrainingSession) -> None:
    stream(running, "anna", [2.0, 1.0], fraction=0.25)
    stream(running, "ben", [3.0, None], fraction=0.5)
    found = browser.get(reverse("session_points", args=[running.pk])).json()
    running.refresh_from_db()
    assert found["seq"] == running.last_seq
    by_name = {client["id"]: client["name"] for client in found["clients"]}
    series = {by_name[seat["client"]]: seat["series"]["train_loss"][:2] for seat in found["seats"]}
    assert series == {"anna": [[1, 2], [2.0, 1.0]], "ben": [[1, 2], [3.0, None]]}
    assert {by_name[seat["client"]]: seat["steps"] for seat in found["seats"]} == {"anna": 8, "ben": 4}


def test_a_retried_rounds_points_replace_those_of_the_failed_try(running: TrainingSession) -> None:
    stream(running, "anna", [9.0, 9.0, 9.0])
    fail_round(running)
    rounds.advance(running, now=timezone.now())
    stream(running, "anna", [1.0])
    assert Metric.objects.count() == 4
    [seat] = curves.of(running)["seats"]
    assert seat["attempt"] == 2
    assert seat["series"]["train_loss"][1] == [1.0]


def test_points_are_read_in_as_many_queries_for_many_rounds(
    running: TrainingSession, django_assert_num_queries: Callable[[int], object]
) -> None:
    for _ in range(2):
        stream(running, "anna", [1.0])
        finish_round(running, "anna", "ben", "carl", train_loss=0.5)
    with django_assert_num_queries(6):  # type: ignore[attr-defined]
        curves.of(running)


def test_a_page_says_that_its_curves_were_thinned(browser: Browser, running: TrainingSession) -> None:
    address = reverse("session", args=[running.pk])
    assert "data-compacted" not in browser.get(address).content.decode()
    TrainingSession.objects.update(compacted_at=timezone.now(), points_reported=1234)
    assert "0 of 1,234 points are kept" in browser.get(address).content.decode().replace("\u202f", ",")
