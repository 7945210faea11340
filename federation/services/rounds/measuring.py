"""The last model of a session is measured at the sites before the session completes.

Clients that are free and told that they evaluate are asked once, for a short time. Whatever comes of it, the session
completes.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Max

from federation import events
from federation.lifecycle import RoundStatus, SessionStatus, WorkKind
from federation.models import Client, Event, GlobalModel, Round, TrainingSession
from federation.services import seats, server
from federation.services.rounds import drawing
from federation.services.rounds.candidates import pool
from federation.services.rounds.moves import entry
from federation.work.declared import declared

LONGEST = 600  # seconds; less where the session's rounds are shorter
TRIES = 3  # to invite the free clients, while other sessions invite them, too


def begin(session: TrainingSession, now: datetime) -> bool:
    """Open the evaluation of a session's last model, if somebody could do it now. `invite` follows.

    Call inside the transaction that closes the session's last round. False for a model that was measured already.
    """
    model = session.last_model()
    if model is None or not _is_due(session, model, now):
        return False
    running = TrainingSession.objects.filter(pk=session.pk, status=SessionStatus.RUNNING)
    if not running.update(idle_since=None):
        return False
    number = session.round_set.filter(kind=WorkKind.EVALUATE).aggregate(last=Max("number"))["last"] or 0
    Round.objects.create(
        session=session,
        kind=WorkKind.EVALUATE,
        number=number + 1,
        base_model=model,
        opened_at=now,
        deadline=_deadline(session, now),
    )
    return True


def _is_due(session: TrainingSession, model: GlobalModel, now: datetime) -> bool:
    if session.kind != WorkKind.TRAIN or not declared(session):
        return False
    if session.round_set.filter(kind=WorkKind.EVALUATE, base_model=model).exists():
        return False
    return bool(free(session, now)) and server.may_open(now)


def _deadline(session: TrainingSession, now: datetime) -> datetime:
    return now + timedelta(seconds=min(session.round_seconds, LONGEST))


def free(session: TrainingSession, now: datetime) -> list[Client]:
    """The clients that could evaluate a model of the session now, by name."""
    found = pool(now).of(session, WorkKind.EVALUATE).free
    return sorted(found, key=lambda client: client.name)


def is_to_invite(round_: Round) -> bool:
    """Whether nobody was asked yet."""
    beside = round_.kind != round_.session.kind and round_.status == RoundStatus.COLLECTING
    return beside and not round_.seats.exists()


def invite(round_: Round, now: datetime) -> bool:
    """Ask the free clients. False if there is none."""
    for _ in range(TRIES):
        clients = free(round_.session, now)
        if not clients:
            return False
        try:
            with transaction.atomic():
                if _seat(round_, clients, now):
                    return True
        except IntegrityError:  # another session gave one of them a seat, or another worker was faster
            if round_.seats.exists():
                return True
    return False


def _seat(round_: Round, clients: list[Client], now: datetime) -> bool:
    if not drawing.still_online(clients, now):
        return False
    collecting = Round.objects.select_for_update(of=("self",)).filter(pk=round_.pk, status=RoundStatus.COLLECTING)
    locked = collecting.select_related("session", "base_model").first()
    if locked is None:
        return False
    locked.opened_at, locked.deadline = now, _deadline(locked.session, now)
    locked.save(update_fields=["opened_at", "deadline"])
    seats.invite(locked, clients)
    told = [events.reference(client) for client in clients]
    kind, payload = entry(locked, Event.Kind.ROUND_OPENED, deadline=locked.deadline.isoformat(), quorum=1, clients=told)
    events.record(locked.session_id, kind, **payload)
    return True
