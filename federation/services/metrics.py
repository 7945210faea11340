"""Progress and metric points, as clients stream them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any

from django.db import transaction

from federation import events, killpoints
from federation.lifecycle import OPEN, RoundStatus
from federation.models import Event, Metric, Participation, Phase
from federation.prepared import Insert, Update
from federation.services import seats


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one curve. `value` is None where the client's number was not finite."""

    name: str
    step: int
    value: float | None
    time: datetime


_insert = Insert(Metric, "session", "participation", "name", "step", "value", "time")


def report(seat: Participation, *, phase: Phase, fraction: float, points: Sequence[Point], now: datetime) -> bool:
    """Note where a client is and add its points, each once. False: the client should drop this work."""
    goes_on = seat.is_open and seat.round.status == RoundStatus.COLLECTING
    with transaction.atomic():
        fresh = _insert_missing(seat, _timed(seat, points, now))
        killpoints.reached(killpoints.Point.METRICS_HALF_WRITTEN)
        moved = goes_on and _move(seat, phase, fraction, now)
        if fresh or moved:
            payload = seats.describe(seat) | {"phase": phase.value, "fraction": fraction, "points": _rows(fresh)}
            events.record(seat.round.session_id, Event.Kind.METRICS_REPORTED, **payload)
    return goes_on


def _timed(seat: Participation, points: Sequence[Point], now: datetime) -> Sequence[Point]:
    """The points with their times kept within the seat's work: a client's clock may be years off."""
    begin = min(seat.taken_at or now, now)
    if all(begin <= point.time <= now for point in points):
        return points
    return [replace(point, time=min(now, max(begin, point.time))) for point in points]


def _insert_missing(seat: Participation, points: Sequence[Point]) -> list[Point]:
    """Those points that the seat did not have yet, which it has now."""
    once = {(p.name, p.step): p for p in points}
    session_id = seat.round.session_id
    rows = [(session_id, seat.pk, p.name, p.step, p.value, p.time) for p in once.values()]
    inserted = _insert.missing(rows, "name", "step")
    return [point for key, point in once.items() if key in inserted]


@cache
def _moving(*names: str) -> Update:
    return Update(Participation, *names, only={"status": OPEN})


def _move(seat: Participation, phase: Phase, fraction: float, now: datetime) -> bool:
    """Write the seat's phase and fraction. True if the phase changed, or how far its training is: curves show both."""
    changed = seat.phase != phase
    further = phase == Phase.TRAINING and seat.fraction != fraction
    fields: dict[str, Any] = {"phase": phase, "fraction": fraction, "progress_at": now}
    if changed:
        fields["phase_at"] = now
    if phase == Phase.TRAINING and seat.training_at is None:
        fields["training_at"] = now
    if phase == Phase.UPLOADING and seat.trained_at is None:
        fields["trained_at"] = now
    _moving(*fields)([(*fields.values(), seat.pk)])
    return changed or further


def _rows(points: Sequence[Point]) -> list[dict[str, object]]:
    return [{"name": p.name, "step": p.step, "value": p.value, "time": p.time.isoformat()} for p in points]
