"""A session's log, narrowed and searched."""

import re

import pytest
from django.test import Client as Browser
from django.urls import reverse

from dashboard.pages.session import log
from federation.models import Client, TrainingSession
from federation.services import rounds, seats
from tests.dashboard.cast import HTMX, report, seat_of, stream
from tests.dashboard.markup import compact


def test_events_are_filtered_to_problems_and_to_people(browser: Browser, running: TrainingSession) -> None:
    rounds.skip(running, seat_of(running, "anna").pk, by="mara")
    seats.fail(seat_of(running, "ben"), reason="no space left")
    address = reverse("session_events", args=[running.pk])

    def kinds_of(show: str) -> set[str]:
        page = browser.get(address, {"show": show}, headers=HTMX).content.decode()
        return set(re.findall(r'data-kind="([\w.]+)"', page))

    assert {"session.created", "round.opened", "seat.skipped", "seat.failed"} <= kinds_of("")
    assert kinds_of("problems") == {"seat.failed"}
    assert kinds_of("people") == {"session.created", "session.started", "seat.skipped"}


def shown(browser: Browser, session: TrainingSession, **query: str) -> list[str]:
    page = browser.get(reverse("session_events", args=[session.pk]), query, headers=HTMX).content.decode()
    return re.findall(r'data-kind="([\w.]+)"', page)


def test_events_are_narrowed_by_kind_client_and_text(browser: Browser, running: TrainingSession) -> None:
    report(running, "anna", train_loss=0.25)
    seats.fail(seat_of(running, "ben"), reason="no space left on device")
    ben = Client.objects.get(name="ben")
    assert shown(browser, running, kind="update.received") == ["update.received"]
    assert shown(browser, running, client=str(ben.pk)) == ["seat.failed", "seat.training"]
    assert shown(browser, running, client=str(ben.pk), kind="seat.training") == ["seat.training"]
    assert shown(browser, running, find="NO SPACE") == ["seat.failed"]
    assert shown(browser, running, find="anna reported: 50 examples") == ["update.received"]
    assert shown(browser, running, find="strong") == []  # markup is no text
    page = browser.get(reverse("session_events", args=[running.pk]), {"find": "nowhere"}, headers=HTMX)
    assert "No event fits" in page.content.decode()


def test_a_search_says_what_it_did_not_look_through(
    browser: Browser, running: TrainingSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "MOST_READ", 2)
    address = reverse("session_events", args=[running.pk])
    every = running.events.exclude(kind="metrics.reported").count()
    page = compact(browser.get(address, {"find": "launched"}, headers=HTMX).content.decode())
    assert f"{every - 2} older ones not." in page and "No event fits" in page
    assert 'hx-get="' + address + '?find=launched&amp;deep=1"' in page
    page = compact(browser.get(address, {"find": "invited", "deep": "1"}, headers=HTMX).content.decode())
    assert "older ones not" not in page and 'data-query="find=invited&amp;deep=1"' in page
    assert "older ones not" not in browser.get(address, headers=HTMX).content.decode()


def test_what_makes_no_sense_narrows_nothing(browser: Browser, running: TrainingSession) -> None:
    whole = shown(browser, running)
    for query in ({"kind": "x"}, {"client": "x"}, {"client": "9" * 30}, {"show": "x"}, {"lines": "9" * 30}):
        assert shown(browser, running, **query) == whole


def test_the_choice_is_kept_in_the_address_and_by_what_comes_live(browser: Browser, running: TrainingSession) -> None:
    asked = {"kind": "round.opened", "find": "a&b <c>"}
    page = compact(browser.get(reverse("session", args=[running.pk]), asked).content.decode())
    again = "kind=round.opened&amp;find=a%26b+%3Cc%3E"
    assert f'data-query="{again}"' in page
    assert f'hx-get="{reverse("session_events", args=[running.pk])}?{again}"' in page
    assert '<option value="round.opened" selected>Round opened</option>' in page
    assert 'value="a&amp;b &lt;c&gt;"' in page


def test_points_of_curves_are_not_in_the_log(browser: Browser, running: TrainingSession) -> None:
    stream(running, "anna", [1.0])
    page = browser.get(reverse("session_events", args=[running.pk]), headers=HTMX).content.decode()
    assert "metrics.reported" not in page
