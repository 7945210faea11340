"""What people do with a session: start, pause, resume, cancel, add rounds."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import F

from federation import events
from federation.errors import Conflict, Invalid
from federation.lifecycle import ACTIVE, ENDED, LIVE, SESSION_MOVES, SessionStatus, WorkKind
from federation.models import Event, TrainingSession
from federation.services import rounds
from federation.session_settings import SETTINGS
from federation.setting_kinds import limits

if TYPE_CHECKING:
    from django.contrib.auth.models import User
from federation.services.people import name_of


@transaction.atomic
def start(session: TrainingSession, *, by: User | None, now: datetime) -> None:
    """Let a draft run. Raises Conflict in any other state."""
    _move(session, SessionStatus.RUNNING, frm=SessionStatus.DRAFT, started_at=now, idle_since=now)
    events.record(session.pk, Event.Kind.SESSION_STARTED, by=name_of(by))


@transaction.atomic
def pause(session: TrainingSession, *, by: User | None) -> None:
    """Open no new round. The open one, its seats and its deadline go on."""
    _move(session, SessionStatus.PAUSED, frm=SessionStatus.RUNNING)
    events.record(session.pk, Event.Kind.SESSION_PAUSED, by=name_of(by))


@transaction.atomic
def resume(session: TrainingSession, *, by: User | None, now: datetime) -> None:
    _move(session, SessionStatus.RUNNING, frm=SessionStatus.PAUSED)
    TrainingSession.objects.filter(pk=session.pk).exclude(idle_since=None).update(idle_since=now)
    events.record(session.pk, Event.Kind.SESSION_RESUMED, by=name_of(by))


def cancel(session: TrainingSession, *, by: User | None, now: datetime) -> None:
    """Stop at once. Models, curves and events are kept; updates of the open round are not."""
    before = session.status
    while not _cancelled(session, before, by, now):
        session.status = before


def _cancelled(session: TrainingSession, before: str, by: User | None, now: datetime) -> bool:
    """False if a round opened after the first look: its seats must be locked before the session. None opens later."""
    reason = f"Cancelled by {name_of(by)}." if by else "Cancelled."
    try:
        with transaction.atomic():
            rounds.cancel_active(session, now=now)
            _move(session, SessionStatus.CANCELLED, frm=before, ended_at=now, idle_since=None, reason=reason)
            if session.round_set.filter(status__among=ACTIVE).exists():
                raise _Opened
            events.record(session.pk, Event.Kind.SESSION_CANCELLED, by=name_of(by))
    except _Opened:
        return False
    return True


class _Opened(Exception):
    """A round opened meanwhile."""


@transaction.atomic
def add_rounds(session: TrainingSession, more: int, *, by: User | None) -> None:
    """Let a session that goes on run for more rounds. One that has ended is gone on from: see `go_on`."""
    refuse_evaluation(session)
    low, high = 1, limits(SETTINGS["rounds"])[1] - session.rounds
    if not low <= more <= high:
        raise Invalid(("rounds", f"{more} more rounds cannot be: choose {low} to {high}."))
    if not TrainingSession.objects.filter(pk=session.pk, status__in=LIVE).update(rounds=F("rounds") + more):
        session.refresh_from_db(fields=["status"])
        raise Conflict(f"{session.name} is {session.status}; start a session from its last model instead.")
    session.refresh_from_db(fields=["rounds"])
    events.record(session.pk, Event.Kind.SESSION_EXTENDED, more=more, rounds=session.rounds, by=name_of(by))


def refuse_evaluation(session: TrainingSession) -> None:
    """Raises Conflict for a session that trains nothing."""
    if session.kind != WorkKind.TRAIN:
        raise Conflict(f"{session.name} is an evaluation. It cannot train further.")


def _move(session: TrainingSession, to: SessionStatus, *, frm: str, **fields: Any) -> None:
    """Compare and swap. Raises Conflict with a sentence where the state does not allow it."""
    allowed = (frm, to) in SESSION_MOVES
    if not allowed or not TrainingSession.objects.filter(pk=session.pk, status=frm).update(status=to, **fields):
        session.refresh_from_db(fields=["status"])
        if session.status == to:
            raise Conflict(f"{session.name} is {to} already.")
        end = " It has ended." if session.status in ENDED else ""
        raise Conflict(f"{session.name} is {session.status} and cannot become {to}.{end}")
    session.status = to
    for name, value in fields.items():
        setattr(session, name, value)
