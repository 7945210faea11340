"""Results: the numbers with which a client answers work that asks for no model."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from federation import events, reasons, work
from federation.errors import Conflict, Invalid, RoundClosed
from federation.lifecycle import OPEN, RoundStatus, SeatStatus
from federation.models import Event, Participation, Round
from federation.payloads import storable
from federation.services import standing
from federation.services.seats.payload import describe
from federation.work import Answer, Unusable


def receive(seat: Participation, sent: Mapping[str, Any], *, now: datetime) -> bool:
    """Take in the result of a seat. True if it was accepted, False if the same had been before.

    sent: num_examples, metrics and counts, each of its kind. Raises Invalid for what cannot be used (the seat stays
    open), Conflict for another result after acceptance and for work of another kind, RoundClosed when the round went
    on without it.
    """
    kind = work.of(seat.round)
    if kind.answer != Answer.RESULT:
        raise Conflict(f"This is work of the kind {kind.name}: it is not answered with a result.")
    try:
        report = kind.check(seat, sent)
    except Unusable as error:
        raise Invalid(("result", str(error))) from error
    fields = {name: storable(getattr(report, name)) for name in ("num_examples", "metrics", "counts")}
    return _settle(seat, fields, now)


@transaction.atomic
def _settle(seat: Participation, fields: Mapping[str, Any], now: datetime) -> bool:
    # Locked first, so that the round cannot close between this check and the save.
    round_ = Round.objects.select_for_update(of=("self",)).only("status").get(pk=seat.round_id)
    locked = Participation.objects.select_for_update(of=("self",)).select_related("client").get(pk=seat.pk)
    standing.require_standing(seat.client, locked.client)
    if locked.is_accepted:
        if any(_as_floats(getattr(locked, name)) != _as_floats(value) for name, value in fields.items()):
            raise Conflict(f"{seat.client.name} has reported for {seat.round} already, with other numbers.")
        return False
    if locked.status not in OPEN or round_.status != RoundStatus.COLLECTING:
        raise RoundClosed(f"{str(seat.round).capitalize()} went on without this seat, which is {locked.status}.")
    ends = {"status": SeatStatus.REPORTED, "fraction": 1.0, "reported_at": now, "progress_at": now}
    Participation.objects.filter(pk=seat.pk).update(**fields, **ends, **reasons.NONE)
    told = {name: fields[name] for name in ("num_examples", "metrics")}
    events.record(seat.round.session_id, Event.Kind.RESULT_RECEIVED, **describe(seat), **told)
    return True


def _as_floats(value: Any) -> Any:
    """Numbers as a client sends them. PostgreSQL gives a huge float back as an integer with zeros at its end."""
    if isinstance(value, dict):
        return {name: _as_floats(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_as_floats(part) for part in value]
    return None if value is None else float(value)
