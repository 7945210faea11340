"""The server itself: the worker's tick, and what it notices: room on the disk, and time that does not count."""

from __future__ import annotations

from datetime import datetime, timedelta
from time import monotonic

from django.db import transaction
from django.db.models import F

from federation import events, storage
from federation.compiled import Select
from federation.lifecycle import OPEN, RoundStatus
from federation.models import Client, Participation, Round, Server, ServerEvent, TrainingSession

JUMP = timedelta(seconds=30)  # ticks further apart than this are no late ticks

_row = Select(lambda: Server.objects.filter(pk=1))
_last_tick: float | None = None  # of this process, by a clock that nobody sets


@transaction.atomic
def tick(*, now: datetime, clock: float | None = None) -> None:
    """A worker is at work. Logged where it had been silent. clock: `time.monotonic()`."""
    global _last_tick
    clock = monotonic() if clock is None else clock
    row = _row.first() or Server.objects.get_or_create(pk=1)[0]
    jumped = row.ticked_at is not None and abs(now - row.ticked_at) > JUMP
    if jumped:
        _shift(row, now)
        row.refresh_from_db(fields=["storage_low_since"])
    # Only one of several workers moves the time; the others' shift is rolled back with their tick.
    if not Server.objects.filter(pk=1, ticked_at=row.ticked_at).update(ticked_at=now):
        transaction.set_rollback(True)
        return
    if jumped and row.ticked_at is not None and (now < row.ticked_at or _ticked_lately(clock)):
        events.record_server(ServerEvent.Kind.CLOCK_JUMPED, seconds=(now - row.ticked_at).total_seconds())
    _notice_room(row, now)
    if row.worker_silent and Server.objects.filter(pk=1, worker_silent=True).update(worker_silent=False):
        events.record_server(ServerEvent.Kind.WORKER_RECOVERED)
    _last_tick = clock


def _ticked_lately(clock: float) -> bool:
    """Whether this process ticked a moment ago, so that it is the clock that moved."""
    return _last_tick is not None and 0 <= clock - _last_tick < JUMP.total_seconds()


def _shift(row: Server, now: datetime) -> None:
    """Move what is compared with the clock by the time that did not pass, or passed while nobody was at work.

    A clock that was set, a machine that slept and a server that was down all look alike here: no round
    closes for that time, and none stays open longer than it should.
    """
    assert row.ticked_at is not None
    by = now - row.ticked_at
    collecting = Round.objects.filter(status=RoundStatus.COLLECTING)
    timed = Participation.objects.filter(status__among=OPEN).exclude(deadline=None)
    idle = TrainingSession.objects.exclude(idle_since=None)
    if now > row.ticked_at:  # what began later has the new time already; a moment after the last tick was still before
        last = row.ticked_at + JUMP
        collecting, timed = collecting.filter(opened_at__lte=last), timed.filter(invited_at__lte=last)
        idle = idle.filter(idle_since__lte=last)
    collecting.update(deadline=F("deadline") + by)
    timed.update(deadline=F("deadline") + by)
    Round.objects.exclude(lease_until=None).update(lease_until=F("lease_until") + by)
    idle.update(idle_since=F("idle_since") + by)
    Server.objects.exclude(storage_low_since=None).update(storage_low_since=F("storage_low_since") + by)
    if now < row.ticked_at:  # else it is seen again within seconds
        Client.objects.exclude(last_seen=None).update(last_seen=F("last_seen") + by)


def _notice_room(row: Server, now: datetime) -> None:
    """Log that the disk is full, or no longer: the open rounds get back the time in which nothing was taken in."""
    if row.storage_low_since is None and storage.is_full():
        Server.objects.filter(pk=1).update(storage_low_since=now)
        events.record_server(ServerEvent.Kind.STORAGE_LOW, free_bytes=storage.free_bytes())
    elif row.storage_low_since is not None and storage.has_room_again():
        lost = now - row.storage_low_since
        Round.objects.filter(status=RoundStatus.COLLECTING).update(deadline=F("deadline") + lost)
        timed = Participation.objects.filter(status__among=OPEN).exclude(deadline=None)
        timed.update(deadline=F("deadline") + lost)
        Server.objects.filter(pk=1).update(storage_low_since=None)
        events.record_server(ServerEvent.Kind.STORAGE_RECOVERED, free_bytes=storage.free_bytes())


def next_part() -> int:
    """Counts the hourly looks at what is old, over restarts, so that each part has its turn."""
    row = Server.objects.get_or_create(pk=1)[0]
    Server.objects.filter(pk=1).update(prunes=F("prunes") + 1)
    return int(row.prunes)


def may_open(now: datetime) -> bool:
    """Whether a round may open: not while the disk is full or the clock was set back a moment ago."""
    row = _row.first()
    return row is None or (row.storage_low_since is None and (row.ticked_at is None or now > row.ticked_at - JUMP))


def may_miss_deadlines(now: datetime) -> bool:
    """Whether a deadline that passed counts: not while the disk is full, nor before the tick has seen the clock."""
    row = _row.first()
    return row is None or row.storage_low_since is None and (row.ticked_at is None or abs(now - row.ticked_at) <= JUMP)


@transaction.atomic
def notice_silence(*, now: datetime) -> None:
    """Log that no worker ticks any more. Called by a web process: the worker itself cannot tell."""
    row = Server.objects.filter(pk=1, worker_silent=False).first()
    if row is None or row.ticked_at is None or row.is_ticking(now):
        return
    if Server.objects.filter(pk=1, worker_silent=False).update(worker_silent=True):
        events.record_server(ServerEvent.Kind.WORKER_SILENT, last_tick=row.ticked_at.isoformat())
