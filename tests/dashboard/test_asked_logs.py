"""The logs over HTTP: what the websocket says, asked for every few seconds."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from federation import events, feed
from federation.models import Event, ServerEvent, TrainingSession
from tests.dashboard.cast import Create


def ask(browser: Browser, session: TrainingSession, after: object) -> Any:
    answer = browser.get(reverse("session_log", args=[session.pk]), {"after": after})
    assert answer["Content-Type"] == "application/json" and answer["Cache-Control"] == "no-store"
    return answer.json()


def write(session: TrainingSession, count: int) -> None:
    for number in range(count):
        events.record(session.pk, Event.Kind.METRICS_REPORTED, client={"name": "anna"}, points=[number])


def test_it_says_what_the_websocket_says(browser: Browser, create: Create) -> None:
    session = create()
    write(session, 2)
    whole = ask(browser, session, 0)
    told = [feed.as_json(event) for event in Event.objects.filter(session=session).order_by("seq")]
    assert whole == {"more": False, "events": told} and len(told) == 3
    assert ask(browser, session, 2)["events"] == told[2:]
    assert ask(browser, session, 3) == {"more": False, "events": []}


def test_an_answer_is_one_message_at_most(browser: Browser, create: Create, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "BATCH", 2)
    session = create()
    write(session, 4)
    seen, answers = 0, []
    while not answers or answers[-1]["more"]:
        answers.append(ask(browser, session, seen))
        seen = answers[-1]["events"][-1]["seq"]
    assert [[event["seq"] for event in answer["events"]] for answer in answers] == [[1, 2], [3, 4], [5]]


def test_the_servers_log_is_asked_for_alike(browser: Browser) -> None:
    events.record_server(ServerEvent.Kind.CLIENT_ONLINE)
    answer = browser.get(reverse("server_log")).json()
    assert [event["kind"] for event in answer["events"]] == ["client.online"] and answer["more"] is False


@pytest.mark.parametrize("after", ["", "x", "-1", "1e3", "9" * 30])
def test_what_makes_no_sense_is_the_beginning(browser: Browser, create: Create, after: str) -> None:
    assert ask(browser, create(), after)["events"][0]["seq"] == 1


def test_nobody_else_is_told(stranger: Browser, browser: Browser, create: Create) -> None:
    address = reverse("session_log", args=[create().pk])
    assert stranger.get(address).status_code == 302
    assert browser.get(reverse("session_log", args=[999_999])).status_code == 404
