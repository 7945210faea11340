"""The pages of a session in which clients join open rounds and seats go on."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from dashboard.pages.session import lanes
from federation.models import Client, TrainingSession
from federation.services import rounds, seats
from tests.dashboard.cast import report

Enrol = Callable[..., list[Client]]
Create = Callable[..., TrainingSession]
FRAGMENTS = (
    *("session", "session_head", "session_round", "session_history", "session_timeline", "session_data"),
    *("session_events", "session_settings", "session_points"),
)


def advance(session: TrainingSession) -> None:
    while rounds.advance(TrainingSession.objects.get(pk=session.pk), now=timezone.now()):
        session.refresh_from_db()


@pytest.fixture
def session(enrol: Enrol, create: Create, ticking: None) -> TrainingSession:
    """Version 1 is made of two updates of anna; ben works on for it, and anna is in her second turn of round 2."""
    _, ben = enrol("anna", "ben")
    session = create(start=True, quorum=2, schedule="buffered", rounds=9)
    advance(session)
    seats.offer(ben, now=timezone.now())
    for _ in range(3):
        report(session, "anna")
        advance(session)
    return session


def text(browser: Browser, name: str, session: TrainingSession) -> str:
    page = browser.get(reverse(name, args=[session.pk]))
    assert page.status_code == 200, name
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page.content.decode()))


def test_every_part_of_its_page_can_be_shown(browser: Browser, session: TrainingSession) -> None:
    for name in FRAGMENTS:
        text(browser, name, session)


def test_so_can_the_other_pages(browser: Browser, session: TrainingSession) -> None:
    for name in ("overview", "sessions", "clients", "activity", "models"):
        assert browser.get(reverse(name)).status_code == 200, name
    for client in Client.objects.all():
        assert browser.get(reverse("client", args=[client.pk])).status_code == 200


def test_its_round_names_who_works_for_an_earlier_one(browser: Browser, session: TrainingSession) -> None:
    page = text(browser, "session_round", session)
    assert "Still at work for an earlier round: ben (v0, 1 version behind)." in page
    assert "Version 2 in the making" in page
    assert "One more update makes version 2." in page
    assert re.search(r"anna : v1, the newest; its turn 2", page)
    assert re.search(r"ben : v0, 1 version behind", page)
    assert re.search(r"How far behind counted updates were 0 versions .*1 update", page)


def test_its_log_tells_who_joined(browser: Browser, session: TrainingSession) -> None:
    page = text(browser, "session_events", session)
    assert re.search(r"anna joined round 2 ?: its turn 2", page)


def test_who_is_left_out_is_on_the_page(browser: Browser, session: TrainingSession, enrol: Enrol) -> None:
    enrol("carl", workloads={"synthetic": "sha256:other"})
    page = text(browser, "session_round", session)
    assert "Not asked: carl (it reported another version of the workload)." in page


def test_a_later_turn_begins_where_its_client_joined(session: TrainingSession) -> None:
    round_ = session.active_round()
    assert round_ is not None
    seat = round_.seats.latest("seat")
    seat.invited_at = round_.opened_at + timedelta(seconds=5)
    seat.taken_at = round_.opened_at + timedelta(seconds=6)
    stops = lanes.phases(seat, round_, round_.opened_at + timedelta(seconds=9))
    assert stops[0] == ("offered", 5.0, 6.0)
