"""The beat sends while it leads, everything at once when it begins to."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import OperationalError

from federation.services.beats import Candidate
from flsite.beating import ElectedScheduler
from flsite.celery import app


@pytest.fixture
def scheduler(monkeypatch: pytest.MonkeyPatch) -> ElectedScheduler:
    found = ElectedScheduler(app)
    found.sent = []
    monkeypatch.setattr(found, "apply_entry", lambda entry, producer=None: found.sent.append(entry.name))
    monkeypatch.setattr(type(found), "producer", None)
    return found


def ticks(scheduler: Any, number: int) -> list[str]:
    for _ in range(number):
        scheduler.tick()
    sent, scheduler.sent = sorted(scheduler.sent), []
    return sent


def test_who_begins_to_lead_sends_all_at_once(scheduler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = iter([False] * 3 + [True] * 20)
    monkeypatch.setattr(Candidate, "leads", lambda self, clock: next(turns))
    assert ticks(scheduler, 3) == []
    assert ticks(scheduler, 6) == ["expire", "prune", "tick", "watch"]


def test_without_a_database_no_beat_is_sent(scheduler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(self: Candidate, clock: float) -> bool:
        raise OperationalError("connection refused")

    monkeypatch.setattr(Candidate, "leads", away)
    assert scheduler.tick() == 1.0 and ticks(scheduler, 3) == []


@pytest.mark.django_db
def test_a_beat_that_is_stopped_gives_its_place_up(monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = ElectedScheduler(app)
    monkeypatch.setattr(scheduler, "apply_entry", lambda entry, producer=None: None)
    monkeypatch.setattr(type(scheduler), "producer", None)
    scheduler.tick()
    scheduler.close()
    assert Candidate("another").leads(0)


@pytest.mark.django_db
def test_a_signal_during_a_query_makes_no_other(scheduler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection is locked until the query that the signal interrupted has ended."""
    resigned: list[str] = []
    monkeypatch.setattr(Candidate, "resign", lambda self: resigned.append(self.name))
    monkeypatch.setattr(Candidate, "leads", lambda self, clock: scheduler.close() is None)
    scheduler.tick()
    assert not resigned
    scheduler.close()
    assert len(resigned) == 1
