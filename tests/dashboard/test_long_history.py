"""What pages and jobs read does not grow with all that ever was: SQLite counts the steps of each query."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from federation import tasks
from federation.models import Client, GlobalModel, Participation, TrainingSession
from federation.services import retention
from tests import history
from tests.dashboard.cast import created, enrolled

pytestmark = pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL counts no steps")

ROUNDS, FEW, MANY = 4, 30, 240  # sessions; a page lists fewer than FEW
EACH = 100  # steps of SQLite's machine between two ticks
SLACK = 1.5, 2_000  # times as many steps, and so many more: lists of sessions are looked through, rows of a few bytes

PAGES = {
    "overview": {},
    "find": {"q": "site"},
    "sessions": {},
    "session_new": {},
    "session_who": {},
    "clients": {},
    "activity": {},
    "alerts": {},
    "compare": {},
}
OF_THE_FIRST = ("session", "session_history", "session_timeline", "session_events", "session_evaluation")
JOBS: dict[str, Callable[[], object]] = {
    "expire": tasks.expire,
    "watch": tasks.watch,
    "advance_all": tasks.advance_all,
}


@contextmanager
def counted() -> Iterator[list[int]]:
    """How many steps the queries in this block take: one or two for each row read, times the columns used."""
    ticks = [0]

    def tick() -> int:
        ticks[0] += 1
        return 0

    connection.ensure_connection()
    connection.connection.set_progress_handler(tick, EACH)
    try:
        yield ticks
    finally:
        connection.connection.set_progress_handler(None, 0)
        ticks[0] *= EACH


@pytest.fixture
def clients(db: None) -> list[Client]:
    found = enrolled(*(f"site-{number}" for number in range(4)))
    Client.objects.update(last_seen=timezone.now())
    return found


@pytest.fixture
def ended(clients: list[Client], mara: User) -> TrainingSession:
    session = created(mara)
    history.write(session, clients, rounds=ROUNDS, sessions=FEW, now=timezone.now())
    return session


def steps(browser: Browser, session: TrainingSession) -> dict[str, int]:
    """Of each page and job, on the second time: the first one fills caches."""
    addresses = {name: (reverse(name), query) for name, query in PAGES.items()}
    addresses |= {name: (reverse(name, args=[session.pk]), {}) for name in OF_THE_FIRST}
    asks = {name: lambda at=at, query=query: browser.get(at, query) for name, (at, query) in addresses.items()}
    found = {}
    for name, ask in (asks | JOBS).items():
        ask()
        with counted() as ticks:
            ask()
        found[name] = ticks[0]
    return found


def test_pages_and_jobs_read_no_more_after_eight_times_as_many_sessions(
    browser: Browser, ended: TrainingSession, clients: list[Client]
) -> None:
    few = steps(browser, ended)
    history.more(ended, sessions=MANY, after=FEW)
    assert Participation.objects.count() == MANY * ROUNDS * len(clients)
    many = steps(browser, ended)
    times, more = SLACK
    grown = {name: (few[name], count) for name, count in many.items() if count > times * few[name] + more}
    assert not grown


def test_what_comes_once_an_hour_looks_at_a_part_of_old_sessions(ended: TrainingSession) -> None:
    history.more(ended, sessions=MANY, after=FEW)
    now = timezone.now()
    with counted() as whole:
        retention.prune(now=now)
    with counted() as part:
        retention.prune(now=now, part=0)
    assert part[0] < whole[0] / 4, (part, whole)


def test_the_counting_notices_a_look_at_every_seat(ended: TrainingSession) -> None:
    with counted() as ticks:
        list(Participation.objects.filter(norm=2.0))
    assert ticks[0] > Participation.objects.count()


def test_the_copies_are_whole(ended: TrainingSession) -> None:
    last = TrainingSession.objects.order_by("pk").last()
    assert last is not None and last.ended_at is not None and ended.pk != last.pk
    assert Participation.objects.filter(round__session=last).count() == 4 * ROUNDS
    assert [model.parent.session_id for model in last.models.all() if model.parent] == [last.pk] * ROUNDS
    assert GlobalModel.objects.values("digest").distinct().count() == FEW * (ROUNDS + 1)
    assert connection.check_constraints() is None
