"""What /metrics says of the whole, read from the database: nothing here walks the history.

A round is counted once, when it is found to have ended: it was open at the last look, or is newer than the newest one
then. So a look reads the open rounds, those that ended since the last one, and a few of the newest.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from threading import Lock

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.db.models import Count, Max, Q, Sum
from django.utils import timezone

from federation import meters, storage
from federation.lifecycle import ACTIVE, Outcome, SeatStatus, SessionStatus
from federation.models import Client, Participation, Round, Server, TrainingSession
from federation.services import health

BEHIND = 200  # ids: a transaction may commit later than one that began after it
WITHOUT_BROKER = -1
FIELDS = ("kind", "status", "outcome", "opened_at", "collected_at", "closed_at")


class Figures:
    """One process's looks at the database. `look` brings the meters up to date."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._open: set[int] = set()
        self._newest: int | None = None  # at the first look, what ended before it is not counted
        self._counted: set[int] = set()  # ids near the newest one

    def look(self, *, now: datetime | None = None) -> None:
        """Never raises for a database that is away: `fl_database_up` says so.

        While another thread looks, it returns at once: a database that hangs holds one thread up, not one a call.
        """
        if not self._lock.acquire(blocking=False):
            return
        try:
            self._look(now or timezone.now())
        finally:
            self._lock.release()

    def _look(self, now: datetime) -> None:
        _look_at_storage()
        began = time.monotonic()
        try:
            self._look_at_database(now)
        except (DatabaseError, InterfaceError):
            meters.database_up.set(0)
        else:
            meters.database_up.set(1)
        meters.database_seconds.set(time.monotonic() - began)
        waiting = health.waiting_messages()
        meters.queue.set(WITHOUT_BROKER if waiting is None else waiting)

    def _look_at_database(self, now: datetime) -> None:
        row = Server.objects.filter(pk=1).first()
        if row is not None and row.ticked_at is not None:
            meters.tick_age.set(max(0.0, (now - row.ticked_at).total_seconds()))
        _set(meters.sessions, SessionStatus.values, _grouped(TrainingSession.objects.all()))
        found = (
            Client.objects.enrolled()
            .filter(enabled=True)
            .aggregate(all=Count("pk"), online=Count("pk", filter=Q(last_seen__gt=now - settings.FL_ONLINE)))
        )
        meters.clients.labels("online").set(found["online"])
        meters.clients.labels("offline").set(found["all"] - found["online"])
        self._look_at_rounds()

    def _look_at_rounds(self) -> None:
        """Reads the open rounds by their index, and those that were open or new at the last look by their keys."""
        newest = max(self._newest or 0, Round.objects.aggregate(newest=Max("pk"))["newest"] or 0)
        rounds = Round.objects.order_by().only(*FIELDS)
        active = list(rounds.filter(status__among=ACTIVE))
        self._show_open(active)
        if self._newest is None:
            self._counted = set(range(max(0, newest - BEHIND), newest + 1)) - {one.pk for one in active}
        else:
            seen = rounds.filter(Q(pk__in=self._open) | Q(pk__gt=self._newest - BEHIND))
            self._count([one for one in seen if one.status not in ACTIVE and one.pk not in self._counted])
        self._open, self._newest = {one.pk for one in active}, newest
        self._counted = {pk for pk in self._counted if pk >= newest - BEHIND}

    def _show_open(self, active: Sequence[Round]) -> None:
        meters.open_rounds.clear()
        for one in active:
            meters.open_rounds.labels(one.kind, one.status).inc()
        _set(meters.open_seats, SeatStatus.values, _grouped(Participation.objects.filter(round__in=active)))

    def _count(self, ended: Sequence[Round]) -> None:
        for one in ended:
            self._counted.add(one.pk)
            meters.rounds.labels(one.kind, one.outcome or one.status).inc()
            if one.closed_at is None:
                continue
            meters.round_seconds.labels(one.kind).observe((one.closed_at - one.opened_at).total_seconds())
            if one.outcome == Outcome.MODEL and one.collected_at is not None:
                meters.aggregation_seconds.observe((one.closed_at - one.collected_at).total_seconds())
        if ended:
            seats = Participation.objects.filter(round__in=ended).order_by().values_list("status")
            for status, count, num_bytes in seats.annotate(Count("pk"), Sum("num_bytes")):
                meters.seats.labels(status).inc(count)
                meters.update_bytes.inc(num_bytes or 0)


def _grouped(rows: object) -> dict[str, int]:
    return dict(rows.order_by().values_list("status").annotate(Count("pk")))  # type: ignore[attr-defined]


def _set(gauge: object, names: Iterable[str], counts: Mapping[str, int]) -> None:
    for name in names:
        gauge.labels(name).set(counts.get(name, 0))  # type: ignore[attr-defined]


def _look_at_storage() -> None:
    free, size = storage.room.free_and_size()
    meters.storage_free.set(free)
    meters.storage_size.set(size)


figures = Figures()
