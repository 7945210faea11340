"""Whose updates are odd is said in words beside the client: on the session's page and on its own, with since when."""

from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from dashboard.kit import protection
from federation.models import Client, Participation, TrainingSession
from tests.dashboard.cast import finish_round
from tests.dashboard.markup import compact

SAYS = "Its updates point away from the others since round 4 (cosine −0.8)."


def flag(**change: Any) -> dict[str, Any]:
    return {"code": "odd", "sign": "direction", "value": -0.8, "since": 4, "times": 3} | change


@pytest.fixture
def suspected(running: TrainingSession) -> TrainingSession:
    """A session of anna, ben and carl whose first round is done, in which carl was odd for the third time."""
    finish_round(running, "anna", "ben", "carl")
    Participation.objects.filter(client__name="carl", round__number=1).update(flags=[flag()], alignment=-0.8)
    return running


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, SAYS),
        (
            {"sign": "size", "value": 12.3456},
            "Its updates are far larger than the others since round 4 (norm 12.3 times the median).",
        ),
        (
            {"sign": "distance", "value": 2.9},
            "Its updates are far from all others since round 4 (distance 2.9 times the median).",
        ),
        ({"times": 2}, ""),
        ({"times": "many"}, ""),
        ({"sign": "hair"}, ""),
        ({"value": None, "since": None}, "Its updates point away from the others since round ? (cosine ?)."),
    ],
)
def test_signs_are_sentences(change: dict[str, Any], sentence: str) -> None:
    assert protection.suspected([flag(**change)]) == protection.of_flags([flag(**change)]) == sentence
    assert protection.suspected([{"code": "left_out", "round": 3}, "x"]) == ""


@pytest.mark.parametrize("view", ["session", "session_data"])
def test_the_sessions_page_says_it_beside_the_client(browser: Browser, suspected: TrainingSession, view: str) -> None:
    page = compact(browser.get(reverse(view, args=[suspected.pk])).content.decode())
    assert f"<strong>carl</strong>: {SAYS}" in page
    assert "<strong>anna</strong>:" not in page


def test_it_stands_in_the_lane_of_the_next_round(browser: Browser, suspected: TrainingSession) -> None:
    page = compact(browser.get(reverse("session", args=[suspected.pk])).content.decode())
    assert f'<span class="lane__detail lane__detail--whole">{SAYS}</span>' in page
    assert page.count(f">{SAYS}</span>") == 1


def test_who_is_odd_for_the_second_time_is_not_named(browser: Browser, suspected: TrainingSession) -> None:
    Participation.objects.filter(client__name="carl", round__number=1).update(flags=[flag(times=2)])
    for page in (reverse("session", args=[suspected.pk]), of("carl")):
        assert "point away" not in browser.get(page).content.decode()


def test_the_clients_page_says_in_which_session(browser: Browser, suspected: TrainingSession) -> None:
    page = compact(browser.get(of("carl")).content.decode())
    now = page[page.index('id="now-title"') :][:2000]
    assert SAYS in now
    assert f'<a href="{reverse("session", args=[suspected.pk])}">{suspected.name}</a>' in now
    assert "point away" not in browser.get(of("anna")).content.decode()


def test_it_ends_with_the_first_usual_update(browser: Browser, suspected: TrainingSession) -> None:
    finish_round(suspected, "anna", "ben", "carl")
    page = compact(browser.get(of("carl")).content.decode())
    now = page[page.index('id="now-title"') :][:2000]
    assert SAYS not in now and SAYS in page  # it stays beside the round


def of(name: str) -> str:
    return reverse("client", args=[Client.objects.get(name=name).pk])
