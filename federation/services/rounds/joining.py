"""Clients join a round that is open, where the schedule lets them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q

from federation import events, schedules
from federation.lifecycle import RoundStatus, SeatReason, SeatStatus
from federation.models import Client, Event, Participation, Round, TrainingSession
from federation.services import seats
from federation.services.rounds import drawing, tallying
from federation.services.rounds.drawing import Drawn


def join(session: TrainingSession, free: Sequence[Client], asked: int, now: datetime) -> bool:
    """Give some of the free clients a seat in the open round. False if nobody joined.

    Who gave up or was skipped in this round waits for the time of a seat before it is asked again.
    """
    round_ = session.active_round()
    if round_ is None or round_.status != RoundStatus.COLLECTING or session.schedule not in schedules.JOINED:
        return False
    resting = _resting(round_, session, now)
    able = [client for client in free if client.pk not in resting]
    joining = drawing.draw(session, round_.number, 1, able, asked, joins=True)
    if not joining.clients:
        return False
    try:
        with transaction.atomic():
            return _seat(round_.pk, joining, now)
    except IntegrityError:  # another session gave one of these clients a seat
        return False


def _resting(round_: Round, session: TrainingSession, now: datetime) -> set[int]:
    lately = round_.seats.filter(invited_at__gt=now - timedelta(seconds=session.round_seconds)).order_by()
    ended = lately.filter(Q(status=SeatStatus.FAILED) | Q(reason_code=SeatReason.SKIPPED))
    return set(ended.values_list("client_id", flat=True))


def _seat(round_id: int, joining: Drawn, now: datetime) -> bool:
    if not drawing.still_online(joining.clients, now):
        return False
    collecting = Round.objects.select_for_update(of=("self",)).filter(pk=round_id, status=RoundStatus.COLLECTING)
    round_ = collecting.select_related("session", "base_model").first()
    if round_ is None or _closes(round_, now):
        return False
    given = seats.invite_for(round_, joining.clients, now=now, seconds=round_.session.round_seconds)
    TrainingSession.objects.filter(pk=round_.session_id).update(idle_since=now)
    told = [(Event.Kind.SEAT_INVITED, _described(seat) | {"why": joining.whys[seat.client.name]}) for seat in given]
    events.record_all(round_.session_id, told)
    return True


def _closes(round_: Round, now: datetime) -> bool:
    """Whether the round has all it needs. Who reported last is to wait for the next version, whatever is first."""
    verdict = schedules.of(round_.session).verdict(tallying.of(round_), deadline=round_.deadline, now=now)
    return verdict is not None


def _described(seat: Participation) -> dict[str, object]:
    deadline = seat.deadline.isoformat() if seat.deadline else None
    return seats.describe(seat) | {"turn": seat.turn, "base_version": seat.base_version, "deadline": deadline}
