"""The points of a session's live curves, as the browser first gets them.

Up to WHOLE points go out as they are. Of a larger session only one metric is sent, thinned: of each stretch of a
curve the lowest, the highest and the last point stay. A part that one zooms into is asked for by itself, so that it
comes in full as soon as it has few enough points.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db import connection
from django.db.models import QuerySet, Sum

from dashboard.kit.parameters import Parameters
from federation import parsing
from federation.fl import measures
from federation.fl.measures import Measure
from federation.lifecycle import OPEN
from federation.models import Client, Metric, Participation, Phase, TrainingSession
from federation.services.models import choosing
from federation.thinning import thin

Array = npt.NDArray[Any]
BATCH = 5000  # rows read from the database at a time
MOST_NAMED = 5  # clients whose points were left out
MOST_CLIENTS = 10_000  # that are known before they take part; the first point of another one loads all points again
MOST_CHOSEN = 500  # clients whose points alone can be asked for
WHOLE = 60_000  # points of a session that are sent as they are
DRAWN = 90_000  # points of one metric in one answer; a chart is about 1,000 pixels wide
BLOCK = 64  # values that the smoothing takes in one multiplication
ROW = np.dtype([("seat", np.int64), ("step", np.int64), ("value", np.float64)])
TIMED = np.dtype([*ROW.descr, ("time", np.float64)])
FIRST = "train_loss"  # what agents report of training
DRAWABLE = 1e100  # a larger value is a gap in the chart, as in static/js/series.js
LEAST_DONE = 1e-6  # a smaller share says nothing about the whole
LONGEST = 2.0**63  # steps
# What is read of a seat: no JSON, for there may be thousands of them.
OF_SEAT = ("status", "phase", "fraction", "round__number", "round__attempt", "client__name", "client__ordinal")


@dataclass(frozen=True, slots=True)
class View:
    """What the browser shows, where that decides what it needs.

    weight: of the smoothing, 0 to below 1. span: the part that is zoomed into, in rounds since the first began, or
    None. clients: their ids; empty for all. timed: with the times of the points.
    """

    metric: str = ""
    weight: float = 0.6
    span: tuple[float, float] | None = None
    clients: frozenset[int] = frozenset()
    timed: bool = False


def of(session: TrainingSession, view: View | None = None) -> dict[str, Any]:
    """The points of the newest attempt of every round, by seat and metric.

    `seq` is read first: the socket goes on from it, so that a point written meanwhile arrives
    twice and never zero times. Times are seconds since the epoch. `names` are the metrics that there are;
    `metric` is the only one that is sent, or null for all; `thinned` says that points were left out. `shares` are
    the measures that lie between 0 and 1.
    """
    view = view or View()
    seq = TrainingSession.objects.values_list("last_seq", flat=True).get(pk=session.pk)
    newest = _newest(session)
    names = _names(session)
    answer: dict[str, Any] = {
        "seq": seq,
        "start": (session.started_at or session.created_at).timestamp(),
        "clients": _clients(newest.values()),
        "names": names,
        "shares": _shares(session),
        "attempts": sorted({(seat.round.number, seat.round.attempt) for seat in newest.values()}),
        "metric": None,
        "thinned": False,
    }
    if Metric.objects.filter(session=session).order_by()[: WHOLE + 1].count() <= WHOLE:
        series = _series(session, set(newest))
        seats = [_seat(seat, series[pk]) for pk, seat in newest.items() if pk in series]
        return answer | {"seats": seats}
    metric = next((name for name in (view.metric, FIRST) if name in names), "") or min(names, key=measures.rank)
    return answer | {"metric": metric} | _one_metric(session, newest, metric, view)


def measure_phrases(session: TrainingSession) -> dict[str, str]:
    """What its measures, and those that are known anyway, are called within a sentence, by name."""
    return {name: one.phrase for name, one in _measures(session).items()}


def left_out(session: TrainingSession) -> list[dict[str, Any]]:
    """The clients that exceeded the quotas, and how many of their points were left out."""
    seats = Participation.objects.filter(round__session=session, points_left_out__gt=0).order_by("client__ordinal")
    found = seats.values_list("client__name").annotate(points=Sum("points_left_out"))
    return [{"client": name, "points": points} for name, points in found[:MOST_NAMED]]


def view_of(asked: Parameters) -> View:
    """What a browser asks for. Invalid values count as missing."""
    weight, ends = asked.number("smooth"), (asked.number("from"), asked.number("to"))
    return View(
        metric=asked.text("metric"),
        weight=weight if weight is not None and 0 <= weight < 1 else 0.6,
        span=(ends[0], ends[1]) if ends[0] is not None and ends[1] is not None else None,
        clients=frozenset(asked.wholes("clients")[:MOST_CHOSEN]),
        timed=bool(asked.choice("timed", ("1",))),
    )


NAMES = """
WITH RECURSIVE found(seat, name) AS (
    SELECT seat.id, (SELECT MIN(name) FROM federation_metric WHERE participation_id = seat.id)
    FROM federation_participation seat JOIN federation_round ON federation_round.id = seat.round_id
    WHERE federation_round.session_id = %s AND federation_round.kind = %s
    UNION ALL
    SELECT seat, (SELECT MIN(m.name) FROM federation_metric m WHERE m.participation_id = seat AND m.name > found.name)
    FROM found WHERE name IS NOT NULL
)
SELECT DISTINCT name FROM found WHERE name IS NOT NULL ORDER BY name
"""


def _names(session: TrainingSession) -> list[str]:
    """A look into the index for each seat and name: to count a million points takes 0.4 s."""
    with connection.cursor() as cursor:
        cursor.execute(NAMES, [session.pk, session.kind])
        return [name for (name,) in cursor.fetchall()]


def _shares(session: TrainingSession) -> list[str]:
    return sorted(name for name, one in _measures(session).items() if one.unit == measures.SHARE)


def _measures(session: TrainingSession) -> dict[str, Measure]:
    """By name. A session's own declaration wins."""
    return {**measures.KNOWN, **{one.name: one for one in choosing.declared(session)}}


def _newest(session: TrainingSession) -> dict[int, Participation]:
    """Seats by key; where a client sat in several attempts of a round, the last one's."""
    rows = (
        Participation.objects.filter(round__session=session, round__kind=session.kind)
        .select_related("client", "round")
        .only(*OF_SEAT)
        .order_by("round__number", "round__attempt", "seat")
    )
    last_attempt: dict[int, int] = {}
    found = list(rows)
    for seat in found:
        last_attempt[seat.round.number] = max(seat.round.attempt, last_attempt.get(seat.round.number, 0))
    return {seat.pk: seat for seat in found if seat.round.attempt == last_attempt[seat.round.number]}


def _clients(seats: Iterable[Participation]) -> list[dict[str, Any]]:
    """Who sat in the session, and who may yet."""
    enrolled = Client.objects.enrolled().values_list("pk", "name", "ordinal")[:MOST_CLIENTS]
    known = {pk: (name, ordinal) for pk, name, ordinal in enrolled}
    known |= {seat.client_id: (seat.client.name, seat.client.ordinal) for seat in seats}
    return [{"id": str(pk), "name": name, "ordinal": ordinal} for pk, (name, ordinal) in known.items()]


# ---- a small session: every point


def _series(session: TrainingSession, seats: set[int]) -> dict[int, dict[str, list[list[Any]]]]:
    """seat -> metric name -> [steps, values, times]."""
    series: defaultdict[int, dict[str, list[list[Any]]]] = defaultdict(dict)
    for seat, name, step, value, time in _rows(session):
        if seat in seats:
            steps, values, times = series[seat].setdefault(name, [[], [], []])
            steps.append(step)
            values.append(parsing.number(value, most=DRAWABLE))
            times.append(_seconds(time))
    return series


def _rows(session: TrainingSession) -> Iterator[tuple[Any, ...]]:
    points = Metric.objects.filter(session=session).order_by("pk")
    return points.values_list("participation_id", "name", "step", "value", "time").iterator(chunk_size=BATCH)


def _seat(seat: Participation, series: dict[str, list[list[Any]]]) -> dict[str, Any]:
    last = max(max(steps) for steps, _, _ in series.values())
    return _described(seat, _total_steps(seat, last)) | {"series": series}


def _described(seat: Participation, steps: float) -> dict[str, Any]:
    return {
        "client": str(seat.client_id),
        "round": seat.round.number,
        "attempt": seat.round.attempt,
        "steps": steps,
        "open": seat.status in OPEN,
    }


def _seconds(time: datetime) -> float:
    """Since the epoch, cut to the millisecond as a browser reads it."""
    return (int(time.timestamp()) * 1000 + time.microsecond // 1000) / 1000


def _total_steps(seat: Participation, last: int) -> float:
    """How many steps the seat's whole work has; while it trains, from how far it says it is."""
    if seat.status in OPEN and seat.phase == Phase.TRAINING and 0 < seat.done < 1:
        return estimated(last, seat.done)
    return last


def estimated(last: int, fraction: float) -> float:
    """How long a seat's work is, from the last step it reported and the share that this is, to within 1 %.

    From these two alone and on a grid, so that a page that saw every point and one that was just opened agree
    (static/js/series.js has the same), and a curve is not laid out anew for every point.
    """
    raw = min(last / max(fraction, LEAST_DONE), LONGEST)
    if raw < 1:
        return last  # only a point at step 0 was reported
    grain = 2.0 ** (math.floor(math.log2(raw)) - 6)
    return max(last, math.floor(raw / grain + 0.5) * grain)


# ---- a large one: one metric, thinned


def _one_metric(
    session: TrainingSession, newest: dict[int, Participation], metric: str, view: View
) -> dict[str, list[dict[str, Any]] | bool]:
    rows = _table(session, newest, metric, view)
    if not len(rows):
        return {"seats": [], "thinned": False}
    starts = np.flatnonzero(np.diff(rows["seat"], prepend=-1))
    seats = [newest[pk] for pk in rows["seat"][starts].tolist()]
    sizes = np.diff(starts, append=len(rows))
    totals = [
        _total_steps(seat, last) for seat, last in zip(seats, rows["step"][starts + sizes - 1].tolist(), strict=True)
    ]
    smooth = _smoothed_by_client(rows, seats, starts, view.weight)
    shown = _within(rows, seats, starts, sizes, totals, view.span)
    of_seat = np.repeat(np.arange(len(seats)), sizes)[shown]
    stretch = -(-3 * len(shown) // DRAWN)
    kept = shown[thin(rows["value"][shown], of_seat, stretch)] if len(shown) > DRAWN else shown
    counts = np.bincount(of_seat, minlength=len(seats)).tolist()
    cuts = np.searchsorted(kept, [*starts.tolist(), len(rows)]).tolist()
    sent = []
    for i, seat in enumerate(seats):
        mine = kept[cuts[i] : cuts[i + 1]]
        if len(mine):
            times = rows["time"][mine].tolist() if view.timed else None
            series = [rows["step"][mine].tolist(), _nullable(rows["value"][mine]), times, _nullable(smooth[mine])]
            sent.append(_described(seat, totals[i]) | {"series": {metric: series}, "counts": {metric: counts[i]}})
    return {"seats": sent, "thinned": len(kept) < len(rows)}


def _table(session: TrainingSession, newest: dict[int, Participation], metric: str, view: View) -> Array:
    """The metric's points, by client, then round, then step; a value that is not finite is NaN."""
    points = Metric.objects.filter(session=session, name=metric).order_by()
    if view.clients:
        points = points.filter(participation__client__in=view.clients)
    columns = ("participation_id", "step", "value", *(("time",) if view.timed else ()))
    finite, gaps = points.exclude(value=None), points.filter(value=None)
    rows = np.concatenate([_read(finite, columns), _read(gaps, columns, gap=True)])
    place = {
        pk: n for n, pk in enumerate(sorted(newest, key=lambda pk: (newest[pk].client_id, newest[pk].round.number)))
    }
    known, index = np.unique(rows["seat"], return_inverse=True)
    order = np.array([place.get(pk, -1) for pk in known.tolist()], np.int64)[index]
    rows, order = rows[order >= 0], order[order >= 0]
    rows["value"][~(np.abs(rows["value"]) <= DRAWABLE)] = np.nan
    return rows[np.lexsort((rows["step"], order))]


def _read(points: QuerySet[Metric], columns: tuple[str, ...], *, gap: bool = False) -> Array:
    """Into numbers at once: a million points are 24 MB here, and 300 as Python's tuples."""
    found: Iterator[tuple[Any, ...]] = points.values_list(*columns).iterator(chunk_size=BATCH)
    if "time" in columns:
        return np.fromiter(((p, s, np.nan if v is None else v, _seconds(t)) for p, s, v, t in found), TIMED)
    return np.fromiter(((p, s, np.nan) for p, s, _ in found) if gap else found, ROW)


def _nullable(values: Array) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]


def _within(
    rows: Array,
    seats: list[Participation],
    starts: Array,
    sizes: Array,
    totals: list[float],
    span: tuple[float, float] | None,
) -> Array:
    """The indices of the points in a span, with a point more at both ends of a seat's part."""
    if span is None:
        return np.arange(len(rows))
    number = np.repeat(np.array([seat.round.number for seat in seats]), sizes)
    total = np.repeat(np.maximum(1, np.array(totals)), sizes)
    place = number - 1 + np.minimum(1.0, rows["step"] / total)
    inside = (place >= span[0]) & (place <= span[1])
    wider = inside | np.roll(inside, 1) | np.roll(inside, -1)
    return np.flatnonzero(wider)


def _smoothed_by_client(rows: Array, seats: list[Participation], starts: Array, weight: float) -> Array:
    """Each client's curve smoothed through all of its rounds; NaN where the value is."""
    first = np.flatnonzero(np.diff([seat.client_id for seat in seats], prepend=-1))
    edges = [*starts[first].tolist(), len(rows)]
    out = np.full(len(rows), np.nan)
    for begin, end in zip(edges, edges[1:], strict=False):
        values = rows["value"][begin:end]
        finite = np.isfinite(values)
        out[begin:end][finite] = smoothed(values[finite], weight)
    return out


def smoothed(values: Array, weight: float) -> Array:
    """TensorBoard's smoothing: an exponential mean, divided by 1 - weight^n so that its start is not pulled to zero.

    values: (n,) finite. weight: 0 to below 1. Block by block: within one the mean is a product with a triangular
    matrix, and only what is carried over goes from block to block.
    """
    if weight <= 0:
        return values.copy()
    powers = weight ** np.arange(BLOCK)
    lags = np.subtract.outer(np.arange(BLOCK), np.arange(BLOCK))
    mix = np.where(lags >= 0, (1 - weight) * powers[np.maximum(lags, 0)], 0.0)
    blocks = np.pad(values, (0, -len(values) % BLOCK)).reshape(-1, BLOCK) @ mix.T
    carried = 0.0
    for block in blocks:
        block += weight * carried * powers
        carried = block[-1]
    return np.asarray(blocks.reshape(-1)[: len(values)] / (1 - weight ** np.arange(1, len(values) + 1)))
