"""Seats end: given up, skipped, dropped; or open again because an update was damaged here."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from federation import events, reasons
from federation.errors import Conflict
from federation.lifecycle import OPEN, FileStatus, SeatStatus
from federation.models import Client, Event, Participation
from federation.reasons import Reason
from federation.services.seats.offering import FRESH
from federation.services.seats.payload import describe


@transaction.atomic
def fail(seat: Participation, *, reason: str) -> None:
    """A client gives up its seat. Saying so twice is harmless."""
    why = reasons.client_failed(reason).fields
    if not Participation.objects.filter(pk=seat.pk, status__among=OPEN).update(status=SeatStatus.FAILED, **why):
        seat.refresh_from_db(fields=["status"])
        if seat.status == SeatStatus.FAILED:
            return
        raise Conflict(f"This seat is {seat.status} and cannot be given up any more.")
    events.record(seat.round.session_id, Event.Kind.SEAT_FAILED, **describe(seat), **why)


@transaction.atomic
def skip(seat: Participation, *, by: str) -> None:
    """An operator goes on without a client. What it sends later is kept, labelled late."""
    why = reasons.skipped(by).fields
    if not Participation.objects.filter(pk=seat.pk, status__among=OPEN).update(status=SeatStatus.DROPPED, **why):
        seat.refresh_from_db(fields=["status"])
        raise Conflict(f"{seat.client.name} is {seat.status} in this round; only an open seat can be skipped.")
    events.record(seat.round.session_id, Event.Kind.SEAT_SKIPPED, **describe(seat), **why, by=by)


def ask_again(seat: Participation, *, now: datetime) -> bool:
    """Open a reported seat again whose update was lost here. False, and it is dropped, where its client cannot.

    Call inside a transaction that has moved the round.
    """
    timed = seat.deadline is not None
    times = {"invited_at": now, "deadline": now + timedelta(seconds=seat.round.session.round_seconds)} if timed else {}
    reported = Participation.objects.filter(pk=seat.pk, status=SeatStatus.REPORTED)
    if Client.objects.enrolled().filter(pk=seat.client_id, enabled=True).exists():
        try:
            with transaction.atomic():
                return bool(reported.update(status=SeatStatus.INVITED, **FRESH | times))
        except IntegrityError:  # it holds an open seat in another session
            pass
    reported.update(status=SeatStatus.DROPPED, file_status=FileStatus.LOST, **reasons.DAMAGED.fields)
    return False


@transaction.atomic
def expire(session_id: int, *, now: datetime) -> bool:
    """Drop the open seats of a session whose own time is over. True if there was one."""
    over = Participation.objects.filter(round__session=session_id, status__among=OPEN, deadline__lte=now)
    if not over.exists():
        return False
    drop(over, reason=reasons.TIME_OVER)
    return True


def drop_open(client: Client, *, reason: Reason) -> None:
    """Drop whatever seats a client holds open. Call inside a transaction."""
    drop(Participation.objects.filter(client=client), reason=reason)


def drop(those: QuerySet[Participation], *, reason: Reason, closing: bool = False) -> None:
    """End open seats. Call inside a transaction.

    closing: the round closes, so that a seat whose last update was refused is `rejected` for good.
    """
    # Locked: a seat whose update is accepted at this moment is not to be told as dropped.
    found = those.filter(status__among=OPEN).select_for_update(of=("self",))
    ended = list(found.select_related("client", "round").order_by("pk"))
    rows = Participation.objects.filter(pk__in=[seat.pk for seat in ended], status__among=OPEN)

    def why(seat: Participation) -> dict[str, Any]:
        own = {name: getattr(seat, name) for name in reasons.NONE}
        return own if closing and seat.reason else reason.fields

    if closing:
        rows.exclude(reason="").update(status=SeatStatus.REJECTED)
    rows.update(status=SeatStatus.DROPPED, **reason.fields)
    for session_id, dropped in groupby(sorted(ended, key=_session), key=_session):
        entries = [(Event.Kind.SEAT_DROPPED, describe(seat) | why(seat)) for seat in dropped]
        events.record_all(session_id, entries)  # at once: the round is locked meanwhile


def _session(seat: Participation) -> int:
    return seat.round.session_id
