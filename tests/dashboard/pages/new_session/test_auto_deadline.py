"""The learnt time for a round: shown beside the one that is set, and used where it is asked for."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db.models import F
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from federation.models import Client, Participation, TrainingSession
from federation.services import rounds
from tests.dashboard.cast import finish_round, report

Enrol = Callable[..., list[Client]]
Create = Callable[..., TrainingSession]


@pytest.fixture
def play(enrol: Enrol, create: Create, ticking: None) -> Callable[..., TrainingSession]:
    """A session whose clients took 39 and 40 seconds in each of three rounds."""

    def play(**change: object) -> TrainingSession:
        enrol("anna", "ben")
        session = create(start=True, rounds=9, **change)
        rounds.advance(session, now=timezone.now())
        for _ in range(3):
            for name, seconds in (("anna", 39), ("ben", 40)):
                report(session, name)
                seats = Participation.objects.filter(round__session=session, client__name=name)
                seats.exclude(reported_at=None).update(invited_at=F("reported_at") - timedelta(seconds=seconds))
            finish_round(session)
        return session

    return play


def test_it_is_shown_beside_the_set_one(browser: Browser, play: Callable[..., TrainingSession]) -> None:
    session = play(name="before")
    page = browser.get(reverse("session", args=[session.pk])).content.decode()
    assert re.search("The rounds so far suggest 1 min: ben needs the longest, 40 s in the median of 3 rep", page)
    assert "Learnt:" not in page
    page = browser.get(reverse("session_new"), {"from": session.pk}).content.decode()
    assert "The rounds of before suggest 1 min for a round of synthetic: ben needs the longest" in page


def test_a_learnt_deadline_says_where_it_comes_from(browser: Browser, play: Callable[..., TrainingSession]) -> None:
    session = play(auto_deadline=True)
    page = browser.get(reverse("session_round", args=[session.pk])).content.decode()
    assert re.search("Learnt: ben needs the longest, 40 s in the median of 3 reports", page)
    page = browser.get(reverse("session", args=[session.pk])).content.decode()
    assert "1 min, learnt" in page


def test_without_past_rounds_nothing_is_suggested(browser: Browser, create: Create) -> None:
    session = create()
    assert "suggest" not in browser.get(reverse("session_new"), {"from": session.pk}).content.decode()
    assert "suggest" not in browser.get(reverse("session", args=[session.pk])).content.decode()


@pytest.mark.parametrize("ticked", [True, False])
def test_the_form_has_a_box_for_it(browser: Browser, ticked: bool) -> None:
    typed = {
        "name": "night run", "workload": "synthetic", "rounds": "4", "round_time": "2", "round_unit": "min",
        "quorum": "1", "seed": "7", "strategy": "fedavg", "max_retries": "3", "fine_tune_epochs": "0",
    }  # fmt: skip
    browser.post(reverse("session_new"), typed | ({"auto_deadline": "on"} if ticked else {}) | {"draft": "1"})
    session = TrainingSession.objects.get()
    assert (session.auto_deadline, session.round_seconds) == (ticked, 120)
    page = browser.get(reverse("session_new"), {"from": session.pk}).content.decode()
    box = re.search(r'<input[^>]*name="auto_deadline"[^>]*>', page)
    assert box and ("checked" in box[0]) is ticked
