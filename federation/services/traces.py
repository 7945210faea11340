"""One trace a round, from its opening to its model or numbers, with what each client did in between.

It is made of the round's rows once it has ended, so that no process has to live from its beginning to its end. What a
client did is what it measured itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import partial

from django.db import transaction
from django.db.models import Q

from federation import parsing, traces
from federation.lifecycle import OPEN, RoundStatus, SeatStatus
from federation.models import Participation, Round
from federation.traces import AGENT, Span

MOST_CLIENTS = 1000  # in a trace
LONGEST = 1e7  # seconds of a phase that are believed
FAILED = (SeatStatus.FAILED, SeatStatus.REJECTED, SeatStatus.DROPPED)
Path = tuple[str, ...]


def tell(round_: Round) -> None:
    """Send the trace of a round that ends with this transaction."""
    if traces.are_wanted():
        transaction.on_commit(partial(_send, round_.pk), robust=True)


def _send(round_id: int) -> None:
    traces.send(spans(Round.objects.select_related("session", "base_model", "model").get(pk=round_id)))


def spans(round_: Round) -> list[Span]:
    """Of a round that has ended: itself, its two halves, and the clients whose updates or results it counts."""
    path, end = (f"round {round_.pk}",), round_.closed_at or round_.opened_at
    collected = round_.collected_at or end
    found = [
        Span(path, round_.label, round_.opened_at, end, _attributes(round_), _failure(round_)),
        Span((*path, "collect"), "collect", round_.opened_at, collected),
    ]
    if round_.collected_at:
        found.append(Span((*path, "aggregate"), "aggregate", collected, end))
    for seat in _seats(round_):
        found.extend(_of_seat((*path, "collect"), seat, end))
    return found


def _seats(round_: Round) -> Iterator[Participation]:
    """Also those of earlier rounds whose late updates count in this one; not those that go on."""
    rows = Participation.objects.filter(Q(round=round_) | Q(counted_in=round_)).exclude(status__in=OPEN)
    yield from rows.select_related("client", "round").order_by("round", "seat")[:MOST_CLIENTS]


def _attributes(round_: Round) -> dict[str, str | int | float]:
    session = round_.session
    found: dict[str, str | int | float] = {
        "fl.session.id": session.pk,
        "fl.session.name": session.name,
        "fl.workload": session.workload,
        "fl.strategy": session.strategy,
        "fl.round.id": round_.pk,
        "fl.round.kind": round_.kind,
        "fl.round.number": round_.number,
        "fl.round.attempt": round_.attempt,
        "fl.round.outcome": round_.outcome,
        "fl.round.clients": round_.seats.count(),
    }
    if base := round_.base_model:
        found |= {"fl.base.version": base.version, "fl.base.digest": base.digest}
    if made := getattr(round_, "model", None):
        found |= {"fl.model.version": made.version, "fl.model.digest": made.digest}
    return found


def _failure(round_: Round) -> str:
    return round_.reason or round_.status if round_.status in (RoundStatus.FAILED, RoundStatus.CANCELLED) else ""


def _of_seat(above: Path, seat: Participation, closed_at: datetime) -> Iterator[Span]:
    path = (*above, f"seat {seat.pk}")
    start = seat.taken_at or seat.invited_at or seat.round.opened_at
    end = seat.reported_at or closed_at
    told: dict[str, str | int | float] = {"fl.client.name": seat.client.name, "fl.seat.status": seat.status}
    if seat.reported_at:
        told |= {"fl.update.bytes": seat.num_bytes, "fl.update.examples": seat.num_examples or 0}
        told |= {"fl.update.digest": seat.digest, "fl.update.staleness": seat.staleness}
    failure = (seat.reason or seat.status) if seat.status in FAILED else ""
    yield Span(path, f"client {seat.client.name}", start, end, told, failure)
    for name, begin, until in _phases(seat):
        yield Span((*path, name), name, begin, until, service=AGENT, instance=seat.client.name)


def _phases(seat: Participation) -> Iterator[tuple[str, datetime, datetime]]:
    """As its agent measured them, backwards from the moment when its upload began; none that it did not tell."""
    if not isinstance(seat.timings, dict) or seat.trained_at is None:
        return
    if seat.reported_at:
        yield "upload", seat.trained_at, max(seat.trained_at, seat.reported_at)
    until = seat.trained_at
    for name, told in (("evaluate", "evaluating"), ("train", "training"), ("download", "downloading")):
        seconds = parsing.number(seat.timings.get(told), most=LONGEST) or 0.0
        if seconds > 0:
            begin = until - timedelta(seconds=seconds)
            yield name, begin, until
            until = begin
