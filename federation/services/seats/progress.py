"""Progress and metric points, as clients stream them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import compress
from typing import Any

from federation import killpoints
from federation.compiled import Insert, Update
from federation.lifecycle import OPEN
from federation.models import Event, Metric, Participation, Phase
from federation.services.seats import quotas
from federation.services.seats.payload import describe
from federation.services.seats.writing import Writing, write


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one curve. `value` is None where the client's number was not finite."""

    name: str
    step: int
    value: float | None
    time: datetime


POINTS_AT_ONCE = 500  # in one event: browsers get whole events
_insert = Insert(Metric, "session", "participation", "name", "step", "value", "time")


def report(
    seat: Participation,
    *,
    phase: Phase,
    fraction: float,
    points: Sequence[Point],
    now: datetime,
    timings: Mapping[str, float] | None = None,
    sent_at: datetime | None = None,
) -> bool:
    """Note where a client is and add its points, each once. False: the client should drop this work.

    timings: seconds of each phase, as the client measured them. sent_at: when it sent this, by the clock that its
    points have; without it the points' times count as they are.
    Points beyond a quota are left out and counted in `seat.points_left_out`; the client continues.
    """
    goes_on = seat.is_open
    account = quotas.account(seat)
    once = list({(p.name, p.step): p for p in points}.values())
    kept = list(compress(once, account.kept(point.name for point in once)))
    left_out = len(once) - len(kept)
    timed = _timed(seat, kept, sent_at or now, now)

    def note(writing: Writing) -> tuple[list[Point], bool]:
        fresh = _insert_missing(seat, timed)
        killpoints.reached(killpoints.Point.METRICS_HALF_WRITTEN)
        moved = _write(seat, phase, fraction, now, timings, goes_on=goes_on, fresh=len(fresh), left_out=left_out)
        told = bool(fresh) or (moved and account.may_tell(now))
        entries = _reported(seat, phase, fraction, fresh) if told else []
        if left_out and not seat.points_left_out:
            entries.append((Event.Kind.METRICS_LEFT_OUT, describe(seat) | quotas.told()))
        if entries:
            writing.entries[seat.round.session_id] += entries
        return fresh, told

    fresh, told = write(seat, note)
    account.add(len(fresh), {point.name for point in fresh}, at=now if told else None)
    seat.points_left_out += left_out
    return goes_on


def _timed(seat: Participation, points: Sequence[Point], sent_at: datetime, now: datetime) -> Sequence[Point]:
    """The points by the server's clock, within the seat's work: the client's clock may be years off."""
    begin = min(seat.taken_at or now, now)
    if sent_at == now and all(begin <= point.time <= now for point in points):
        return points
    return [replace(point, time=min(now, max(begin, _shifted(point.time - sent_at, now)))) for point in points]


def _shifted(ahead: timedelta, now: datetime) -> datetime:
    """So much before or after now, as far as there are dates."""
    try:
        return now + ahead
    except OverflowError:
        return now if ahead > timedelta() else datetime.min.replace(tzinfo=UTC)


def _insert_missing(seat: Participation, points: Sequence[Point]) -> list[Point]:
    """Those points that the seat did not have yet, which it has now."""
    session_id = seat.round.session_id
    rows = [(session_id, seat.pk, p.name, p.step, p.value, p.time) for p in points]
    inserted = _insert.missing(rows, "name", "step")
    return [point for point in points if (point.name, point.step) in inserted]


_COUNTS = ("num_points", "points_left_out")
_counted = Update(Participation, *_COUNTS, adding=_COUNTS)


@cache
def _moving(*names: str) -> Update:
    return Update(Participation, *names, only={"status": OPEN}, adding=_COUNTS)


def _write(
    seat: Participation,
    phase: Phase,
    fraction: float,
    now: datetime,
    timings: Mapping[str, float] | None,
    *,
    goes_on: bool,
    fresh: int,
    left_out: int,
) -> bool:
    """Write the seat's progress and number of points.

    True if more than the points changed: the phase, or the progress of the training. Curves show both.
    """
    if not goes_on:
        if fresh or left_out:
            _counted([(fresh, left_out, seat.pk)])
        return False
    changed = seat.phase != phase
    further = phase == Phase.TRAINING and seat.fraction != fraction
    fields: dict[str, Any] = {"phase": phase, "fraction": fraction, "progress_at": now}
    if changed:
        fields["phase_at"] = now
    if phase == Phase.TRAINING and seat.training_at is None:
        fields["training_at"] = now
    if phase == Phase.UPLOADING and seat.trained_at is None:
        fields["trained_at"] = now
    if timings is not None:
        fields |= {"timings": dict(timings), "trained_at": now}
    if fresh or left_out:
        fields |= {"num_points": fresh, "points_left_out": left_out}
    _moving(*fields)([(*fields.values(), seat.pk)])
    return changed or further


def _reported(
    seat: Participation, phase: Phase, fraction: float, fresh: Sequence[Point]
) -> list[tuple[Event.Kind, dict[str, Any]]]:
    """The events about progress: one, or several if there are very many points."""
    about = describe(seat) | {"phase": phase.value, "fraction": fraction}
    return [
        (Event.Kind.METRICS_REPORTED, about | {"points": _rows(fresh[at : at + POINTS_AT_ONCE])})
        for at in range(0, len(fresh) or 1, POINTS_AT_ONCE)
    ]


def _rows(points: Sequence[Point]) -> list[dict[str, object]]:
    return [{"name": p.name, "step": p.step, "value": p.value, "time": p.time.isoformat()} for p in points]
