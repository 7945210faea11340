"""How a session goes on after a round, and how it ends."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import QuerySet

from federation import events, reasons
from federation.lifecycle import LIVE, SessionStatus, WorkKind
from federation.models import Event, Participation, Round, TrainingSession
from federation.services import seats
from federation.services.rounds import measuring, stopping

Entry = tuple[Event.Kind, dict[str, Any]]


def complete_or_go_on(round_: Round, now: datetime, *, enough: bool = False) -> bool:
    """Complete the session after its last round, or note since when it waits for the next. True if completed.

    Clients that can do it measure its last model first, and the session completes after that. enough: it has learnt
    enough, however many rounds are left.
    """
    live = TrainingSession.objects.filter(pk=round_.session_id, status__in=LIVE)
    # The number of rounds is compared in the database: more may have been added while this one was aggregated.
    done = live if enough else live.filter(rounds__lte=round_.number)
    if done.exists():  # seats are locked before the session
        seats.drop(seats_of(round_.session), reason=reasons.SESSION_COMPLETED)
        if measuring.begin(round_.session, now):
            return False
    completed = done.update(status=SessionStatus.COMPLETED, ended_at=now, idle_since=None)
    if not completed:
        live.update(idle_since=now)
    return bool(completed)


def after(round_: Round, now: datetime) -> list[Entry]:
    """Go on after a round that made no model. Returns what is to be logged."""
    if round_.kind == round_.session.kind:
        return [_completed(round_)] if complete_or_go_on(round_, now) else []
    last = round_.session.last_round()
    if last is None:
        return []
    stop = stopping.due(last)  # the session trains on if rounds were added meanwhile
    return [_completed(last, stop)] if complete_or_go_on(last, now, enough=bool(stop)) else []


def _completed(last: Round, stop: dict[str, Any] | None = None) -> Entry:
    told = {"rounds": last.number} if last.kind == WorkKind.TRAIN else {}
    return Event.Kind.SESSION_COMPLETED, told | (stop or {})


def fail_session(session: TrainingSession, reason: str, now: datetime) -> None:
    fields = {"status": SessionStatus.FAILED, "reason": reason, "ended_at": now, "idle_since": None}
    if TrainingSession.objects.filter(pk=session.pk, status__in=LIVE).update(**fields):
        events.record(session.pk, Event.Kind.SESSION_FAILED, reason=reason)


def seats_of(session: TrainingSession) -> QuerySet[Participation]:
    return Participation.objects.filter(round__session=session)
