"""Progress and metric points, as clients stream them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from federation import events, killpoints
from federation.lifecycle import OPEN, RoundStatus
from federation.models import Event, Metric, Participation, Phase
from federation.prepared import Insert
from federation.services import seats


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one curve. `value` is None where the client's number was not finite."""

    name: str
    step: int
    value: float | None
    time: datetime


_insert = Insert(Metric, "session", "participation", "name", "step", "value", "time", ignore_conflicts=True)


def report(seat: Participation, *, phase: Phase, fraction: float, points: Sequence[Point], now: datetime) -> bool:
    """Note where a client is and add its points, each once. False: the client should drop this work."""
    goes_on = seat.is_open and seat.round.status == RoundStatus.COLLECTING
    with transaction.atomic():
        fresh = _fresh(seat, points)
        _insert((seat.round.session_id, seat.pk, p.name, p.step, p.value, p.time) for p in fresh)
        killpoints.reached(killpoints.Point.METRICS_HALF_WRITTEN)
        moved = goes_on and _move(seat, phase, fraction, now)
        if fresh or moved:
            payload = seats.describe(seat) | {"phase": phase.value, "fraction": fraction, "points": _rows(fresh)}
            events.record(seat.round.session_id, Event.Kind.METRICS_REPORTED, **payload)
    return goes_on


def _fresh(seat: Participation, points: Sequence[Point]) -> list[Point]:
    """Those points that the seat does not have yet. The lock keeps two sends of the same points apart."""
    if not points:
        return []
    Participation.objects.select_for_update().values_list("pk").get(pk=seat.pk)
    known = set(
        Metric.objects.filter(participation=seat, step__in={p.step for p in points}).values_list("name", "step")
    )
    return list({(p.name, p.step): p for p in points if (p.name, p.step) not in known}.values())


def _move(seat: Participation, phase: Phase, fraction: float, now: datetime) -> bool:
    """Write the seat's phase and fraction. True if the phase changed, or how far its training is: curves show both."""
    changed = seat.phase != phase
    further = phase == Phase.TRAINING and seat.fraction != fraction
    fields = {"phase": phase, "fraction": fraction, "progress_at": now}
    if changed:
        fields["phase_at"] = now
    if phase == Phase.TRAINING and seat.training_at is None:
        fields["training_at"] = now
    if phase == Phase.UPLOADING and seat.trained_at is None:
        fields["trained_at"] = now
    Participation.objects.filter(pk=seat.pk, status__in=OPEN).update(**fields)
    return changed or further


def _rows(points: Sequence[Point]) -> list[dict[str, object]]:
    return [{"name": p.name, "step": p.step, "value": p.value, "time": p.time.isoformat()} for p in points]
