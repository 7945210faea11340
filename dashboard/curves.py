"""The points of a session's live curves, as the browser first gets them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from federation.lifecycle import OPEN
from federation.models import Client, Metric, Participation, Phase, TrainingSession

BATCH = 5000  # rows read from the database at a time
MOST_CLIENTS = 500  # that are known before they take part


def of(session: TrainingSession) -> dict[str, Any]:
    """Every point of the newest attempt of every round, by seat and metric.

    `seq` is read first: the socket goes on from it, so that a point written meanwhile arrives
    twice and never zero times. Times are seconds since the session started.
    """
    seq = TrainingSession.objects.values_list("last_seq", flat=True).get(pk=session.pk)
    newest = _newest(session)
    series = _series(session, set(newest))
    return {
        "seq": seq,
        "start": (session.started_at or session.created_at).timestamp(),
        "clients": _clients(newest.values()),
        "seats": [_seat(seat, series[pk]) for pk, seat in newest.items() if pk in series],
    }


def _newest(session: TrainingSession) -> dict[int, Participation]:
    """Seats by key; where a client sat in several attempts of a round, the last one's."""
    rows = (
        Participation.objects.filter(round__session=session)
        .select_related("client", "round")
        .order_by("round__number", "round__attempt", "seat")
    )
    last_attempt: dict[int, int] = {}
    found = list(rows)
    for seat in found:
        last_attempt[seat.round.number] = max(seat.round.attempt, last_attempt.get(seat.round.number, 0))
    return {seat.pk: seat for seat in found if seat.round.attempt == last_attempt[seat.round.number]}


def _clients(seats: Iterable[Participation]) -> list[dict[str, Any]]:
    """Who sat in the session, and who may yet."""
    known = {client.pk: client for client in Client.objects.enrolled()[:MOST_CLIENTS]}
    known |= {seat.client_id: seat.client for seat in seats}
    return [{"id": str(client.pk), "name": client.name, "ordinal": client.ordinal} for client in known.values()]


def _series(session: TrainingSession, seats: set[int]) -> dict[int, dict[str, list[list[Any]]]]:
    """seat -> metric name -> [steps, values, times]."""
    series: defaultdict[int, dict[str, list[list[Any]]]] = defaultdict(dict)
    for seat, name, step, value, time in _rows(session):
        if seat in seats:
            steps, values, times = series[seat].setdefault(name, [[], [], []])
            steps.append(step)
            values.append(value)
            times.append(round(time.timestamp(), 2))
    return series


def _rows(session: TrainingSession) -> Iterator[tuple[Any, ...]]:
    points = Metric.objects.filter(session=session).order_by("pk")
    return points.values_list("participation_id", "name", "step", "value", "time").iterator(chunk_size=BATCH)


def _seat(seat: Participation, series: dict[str, list[list[Any]]]) -> dict[str, Any]:
    return {
        "client": str(seat.client_id),
        "round": seat.round.number,
        "attempt": seat.round.attempt,
        "steps": _total_steps(seat, series),
        "series": series,
    }


def _total_steps(seat: Participation, series: dict[str, list[list[Any]]]) -> int:
    """How many steps the seat's whole work has; while it trains, from how far it says it is."""
    last = max(max(steps) for steps, _, _ in series.values())
    if seat.status in OPEN and seat.phase == Phase.TRAINING and 0 < seat.fraction < 1:
        return max(last, round(last / seat.fraction))
    return last
