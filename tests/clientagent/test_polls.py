"""Calls for work become shorter where something on the way ends those that wait."""

import time

import pytest

from clientagent import polls
from clientagent.api import Api
from clientagent.polls import Polls
from tests.clientagent.fake_server import FakeServer, Handler, cut, html, plainly


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(polls, "monotonic", lambda: now[0])
    return now


def test_a_call_that_was_ended_is_followed_by_a_shorter_one(said: list[str], clock: list[float]):
    mine = Polls(said.append)
    assert mine.wait(30) == 30
    assert mine.ended(10.0)
    assert mine.wait(30) == 8.0
    mine.answered()
    assert said == ["Something on the way ends calls that wait for about 10 s. The agent asks for work every 8 s."]
    assert mine.wait(30) == 8.0 and mine.wait(0) == 0
    clock[0] += polls.LONGER_AFTER_SECONDS
    assert mine.wait(30) == 30  # it may be gone
    mine.answered()
    assert mine.wait(30) == 30 and len(said) == 1


@pytest.mark.parametrize("seconds", [0.1, 1.9, 31.5, 75.0])
def test_what_ends_at_once_or_later_than_it_was_to_wait_was_not_ended_for_waiting(said, clock, seconds: float):
    mine = Polls(said.append)
    mine.wait(30)
    assert not mine.ended(seconds)
    assert mine.wait(30) == 30


def test_a_server_that_stays_away_is_away(said: list[str], clock: list[float]):
    mine = Polls(said.append)
    mine.wait(30)
    assert mine.ended(10.0)
    mine.wait(30)
    assert not mine.ended(0.1)  # nobody listens now: it was no proxy
    assert mine.wait(30) == 30 and said == []


def test_ends_in_a_row_are_an_absence_however_long_each_takes(said: list[str], clock: list[float]):
    mine = Polls(said.append)
    found = []
    for _ in range(polls.MOST_IN_A_ROW + 1):
        mine.wait(30)
        found.append(mine.ended(2.5))
    assert found[:2] == [True, True] and not found[-1]


@pytest.mark.parametrize("end", [cut, html(504), html(502), html(200), html(408)])
def test_a_proxy_that_ends_waiting_calls_is_no_absence(api: Api, server: FakeServer, said, monkeypatch, end):
    monkeypatch.setattr(polls, "LEAST_SECONDS", 0.1)
    monkeypatch.setattr("clientagent.persisting.FIRST_DELAY", 0.01)

    def proxy(handler: Handler) -> None:
        wait = float(handler.path.partition("wait=")[2])
        if wait <= 0.3:
            return plainly(handler)
        time.sleep(0.3)
        end(handler)

    server.script("GET", "/work", *[proxy] * 6)
    for _ in range(3):
        assert api.work(0.8) is None
    waits = [float(seen.path.partition("wait=")[2]) for seen in server.requests("GET", "/work")]
    assert waits[0] == 0.8 and waits == sorted(waits, reverse=True)  # a slow machine may need a second end to learn
    assert 0.1 <= waits[-3] == waits[-2] == waits[-1] <= 0.3, "learnt once, kept for the next calls"
    assert [line.startswith("Something on the way ends calls") for line in said] == [True]
