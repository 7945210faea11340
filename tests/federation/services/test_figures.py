"""What /metrics says of the whole, and what it costs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from federation import meters
from federation.lifecycle import RoundStatus
from federation.models import Participation, Round, TrainingSession
from federation.services import rounds, server
from federation.services.figures import Figures
from tests.federation.cast import send, settle

pytestmark = pytest.mark.django_db
MOST_QUERIES = 8


def value(name: str, **labels: str) -> float:
    return meters.registry.get_sample_value(name, labels) or 0.0


class Since:
    """How much counters grew: they belong to the process, and other tests count, too."""

    def __init__(self) -> None:
        self._before = self._all()

    def __call__(self, name: str, **labels: str) -> float:
        return value(name, **labels) - self._before.get((name, *sorted(labels.items())), 0.0)

    @staticmethod
    def _all() -> dict[Any, float]:
        samples = [sample for family in meters.registry.collect() for sample in family.samples]
        return {(one.name, *sorted(one.labels.items())): one.value for one in samples}


@pytest.fixture
def since() -> Iterator[Since]:
    return Since()


def test_what_is_there_at_the_moment(open_round, draft, enrol, now):
    open_round("anna", "ben")
    draft(name="later")
    send("anna", now=now)
    server.tick(now=now)
    Figures().look(now=now + timedelta(seconds=2))
    assert value("fl_sessions", status="running") == 1 and value("fl_sessions", status="draft") == 1
    assert value("fl_open_rounds", kind="train", status="collecting") == 1
    assert value("fl_open_seats", status="reported") == 1 and value("fl_open_seats", status="invited") == 1
    assert value("fl_clients", state="online") == 2 and value("fl_clients", state="offline") == 0
    assert value("fl_database_up") == 1 and value("fl_tick_age_seconds") == 2
    assert 0 < value("fl_storage_free_bytes") <= value("fl_storage_size_bytes")
    Figures().look(now=now + timedelta(days=1))
    assert value("fl_clients", state="online") == 0 and value("fl_clients", state="offline") == 2


def test_a_round_that_ends_between_two_looks_is_counted_once(closed, since, now):
    figures = Figures()
    round_ = closed()
    figures.look(now=now)
    Round.objects.filter(pk=round_.pk).update(opened_at=now - timedelta(seconds=20), collected_at=now)
    settle(round_.session, now=now + timedelta(seconds=4))
    sent = sum(Participation.objects.filter(round=round_).values_list("num_bytes", flat=True))
    for _ in range(3):
        figures.look(now=now)
    assert since("fl_rounds_total", kind="train", outcome="model") == 1
    assert since("fl_seats_total", status="aggregated") == 2
    assert since("fl_update_bytes_total") == sent > 0
    assert since("fl_round_seconds_sum", kind="train") == pytest.approx(24, abs=1)
    assert since("fl_aggregation_seconds_sum") == pytest.approx(4, abs=1)


def test_a_round_that_nobody_saw_open_is_counted_too(open_round, since, now):
    figures = Figures()
    figures.look(now=now)
    round_ = open_round("anna")
    send("anna", now=now)
    settle(round_.session, now=now)
    figures.look(now=now)
    assert since("fl_rounds_total", kind="train", outcome="model") == 1


def test_what_ended_before_the_first_look_is_not_counted(closed, since, now):
    settle(closed().session, now=now)
    figures = Figures()
    figures.look(now=now)
    figures.look(now=now)
    assert since("fl_rounds_total", kind="train", outcome="model") == 0


def test_a_round_that_failed_is_counted_by_what_it_made(open_round, since, now):
    figures = Figures()
    round_ = open_round("anna", "ben", round_seconds=60)
    figures.look(now=now)
    send("anna", now=now)
    later = now + timedelta(seconds=61)
    assert rounds.advance(TrainingSession.objects.get(pk=round_.session_id), now=later)
    figures.look(now=later)
    assert since("fl_rounds_total", kind="train", outcome="nothing") == 1
    assert since("fl_seats_total", status="reported") == 1


def test_a_database_that_is_away_is_a_figure_and_no_error(since, now):
    with patch("federation.services.figures.Server.objects.filter", side_effect=OperationalError("away")):
        Figures().look(now=now)
    assert value("fl_database_up") == 0
    Figures().look(now=now)
    assert value("fl_database_up") == 1


def history(session: TrainingSession, count: int, now: Any) -> None:
    base = session.models.get(version=0)
    first = Round.objects.order_by("-pk").values_list("number", flat=True).first() or 0
    Round.objects.bulk_create(
        Round(
            session=session,
            number=first + n,
            status=RoundStatus.COMPLETED,
            outcome="model",
            base_model=base,
            opened_at=now,
            deadline=now,
            collected_at=now,
            closed_at=now,
        )
        for n in range(1, count + 1)
    )


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="counts the steps of SQLite's machine")
def test_a_look_costs_no_more_with_a_long_history(running, now):
    """Steps of the database's machine, not queries: a query may read ever more rows."""
    session = running()
    figures = Figures()

    def steps() -> int:
        count = 0

        def step() -> int:
            nonlocal count
            count += 1
            return 0

        connection.connection.set_progress_handler(step, 100)
        try:
            figures.look(now=now)
        finally:
            connection.connection.set_progress_handler(None, 0)
        return count

    figures.look(now=now)
    history(session, 500, now)
    figures.look(now=now)
    short = steps()
    history(session, 10_000, now)
    figures.look(now=now)
    assert steps() <= short + 20


def test_a_look_is_few_queries(closed, now):
    figures = Figures()
    round_ = closed()
    figures.look(now=now)
    settle(round_.session, now=now)
    with CaptureQueriesContext(connection) as seen:
        figures.look(now=now)
    assert len(seen) <= MOST_QUERIES


def test_while_one_looks_another_does_not_wait(monkeypatch):
    """A database that hangs holds up one thread of those that read long, however often somebody asks."""
    figures, hangs, looked = Figures(), threading.Event(), threading.Event()

    def hang(now):
        looked.set()
        assert hangs.wait(10)

    monkeypatch.setattr(figures, "_look_at_database", hang)
    first = threading.Thread(target=figures.look)
    first.start()
    assert looked.wait(10)
    figures.look()  # would hang too
    hangs.set()
    first.join(10)
    assert not first.is_alive()
