"""Withdraws what a disabled or removed client sent, if it is in no model yet."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from federation import events, reasons
from federation.lifecycle import ACTIVE, LIVE, OPEN, RoundStatus, SeatStatus
from federation.models import Client, Event, Participation, Round
from federation.reasons import Reason
from federation.services import seats
from federation.services.rounds import tallying
from federation.services.rounds.moves import move
from federation.services.seats import late

STANDING = (*OPEN, SeatStatus.REPORTED)  # seats that count or may still count in their own round
MAY_BE_LATE = (SeatStatus.DROPPED, SeatStatus.LATE)
AGAIN: dict[str, Any] = {"lease_token": "", "lease_until": None, "claims": 0}  # the present worker can publish nothing


@transaction.atomic
def withdraw(client: Client, *, reason: Reason) -> None:
    """Take out everything of a client that is in no model yet, for good. If enabled again, it starts with a new seat.

    A collecting round continues without it. A round that is being aggregated is aggregated again without it; below the
    quorum it collects again, and its verdict decides. Call this after the change to the client, in the same
    transaction: the client gets no new seat meanwhile.
    """
    # The same order of locks as everywhere: rounds, seats, the sessions' logs.
    touched = list(_touched(client).select_for_update(of=("self",)).select_related("session").order_by("pk"))
    gone = _take_out(client, touched, reason)
    for round_ in touched:
        if round_.status == RoundStatus.AGGREGATING:
            judge_again(round_)
    by_session: defaultdict[int, list[tuple[Event.Kind, dict[str, Any]]]] = defaultdict(list)
    for seat in gone:
        payload = seats.describe(seat) | reason.fields
        by_session[seat.round.session_id].append((Event.Kind.SEAT_DROPPED, payload))
    for session_id in sorted(by_session):
        events.record_all(session_id, by_session[session_id])


def withdraw_all(seats_: Sequence[Participation]) -> bool:
    """Withdraw the clients of these seats that are now disabled or removed. True if there was one.

    Needed when a round takes in a late update while its client is changed: neither sees the other.
    """
    gone = {seat.client_id: seat.client for seat in seats_ if not seat.client.counts}
    for client in gone.values():
        withdraw(client, reason=reason_of(client))
    return bool(gone)


def reason_of(client: Client) -> Reason:
    return reasons.DISABLED if client.removed_at is None else reasons.REMOVED


def _touched(client: Client) -> QuerySet[Round]:
    """The open rounds in which something of the client counts or may count."""
    own = Participation.objects.filter(round=OuterRef("pk"), client=client, status__in=STANDING)
    taken = Participation.objects.filter(counted_in=OuterRef("pk"), client=client)
    return Round.objects.filter(Exists(own) | Exists(taken), status__among=ACTIVE)


def _take_out(client: Client, touched: Sequence[Round], reason: Reason) -> list[Participation]:
    """Mark the seats that do not count any more. Returns those that counted or would have, unchanged."""
    mine = Participation.objects.filter(client=client)
    standing = Q(status__among=OPEN) | Q(round__in=touched, status=SeatStatus.REPORTED)
    own = _locked(mine.filter(standing))
    taken = _locked(mine.filter(counted_in__in=touched))
    # Of past rounds: late updates that wait for a later round, and seats that may still send one.
    over = mine.filter(counted_in=None, withdrawn=False, round__session__status__in=LIVE)
    waiting = _locked(mine.filter(late.WAITING))
    to_come = _locked(over.filter(status__in=MAY_BE_LATE))
    found = own + taken + waiting
    with_reason = {"withdrawn": True, "counted_in": None, "staleness": 0, **reason.fields}
    Participation.objects.filter(pk__in=[seat.pk for seat in found]).update(**with_reason)
    Participation.objects.filter(pk__in=[seat.pk for seat in own]).update(status=SeatStatus.DROPPED)
    Participation.objects.filter(pk__in=[seat.pk for seat in to_come]).update(withdrawn=True)
    return found


def _locked(seats_: QuerySet[Participation]) -> list[Participation]:
    return list(seats_.select_for_update(of=("self",)).select_related("client", "round").order_by("pk"))


@transaction.atomic
def judge_again(round_: Round) -> None:
    """End the claim. Any worker makes the model from the rest, or finds that the quorum is missed."""
    if tallying.missing(round_) <= 0:
        Round.objects.filter(pk=round_.pk).update(**AGAIN)
    else:
        move(round_, RoundStatus.COLLECTING, collected_at=None, **AGAIN)
