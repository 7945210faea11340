"""What a session that ended long ago leaves of its curves and its log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import numpy as np
from django.conf import settings
from django.db import transaction
from django.db.models import Count

from federation.models import Event, Metric, TrainingSession
from federation.thinning import thin

ROWS_AT_ONCE = 5_000


def compact(session: TrainingSession, *, now: datetime) -> None:
    """Thin its curves, and empty the points in its log, which the curves hold too. Done twice, it changes nothing.

    Of each curve of a seat at most FL_KEEP_POINTS points stay, of each stretch the lowest, the highest, the last and
    the first that was not finite. The log keeps its entries and their numbers.
    """
    rows = TrainingSession.objects.filter(pk=session.pk)
    rows.filter(points_reported=None).update(points_reported=session.metric_points.count())
    surplus = _surplus(session)
    for start in range(0, len(surplus), ROWS_AT_ONCE):
        Metric.objects.filter(pk__in=surplus[start : start + ROWS_AT_ONCE]).delete()
    _empty_log(session)
    rows.update(compacted_at=now)


def _surplus(session: TrainingSession) -> list[int]:
    """The keys of the points that go."""
    curves = session.metric_points.order_by().values("participation", "name").annotate(points=Count("pk"))
    long = curves.filter(points__gt=settings.FL_KEEP_POINTS).values_list("participation", "name")
    return [key for seat, name in long for key in _surplus_of(session, seat, name)]


def _surplus_of(session: TrainingSession, seat: int, name: str) -> Iterator[int]:
    points = session.metric_points.filter(participation=seat, name=name).order_by("step").values_list("pk", "value")
    keys, values = zip(*points, strict=True)
    numbers = np.array([np.nan if value is None else value for value in values])
    stretch = -(-4 * len(keys) // settings.FL_KEEP_POINTS)
    kept = set(thin(numbers, np.zeros(len(keys), np.int64), stretch).tolist())
    return (key for place, key in enumerate(keys) if place not in kept)


def _empty_log(session: TrainingSession) -> None:
    full = Event.objects.filter(session=session, kind=Event.Kind.METRICS_REPORTED).exclude(payload__points=[])
    while entries := list(full.order_by("seq")[:ROWS_AT_ONCE]):
        for entry in entries:
            entry.payload = entry.payload | {"points": []}
        with transaction.atomic():
            Event.objects.bulk_update(entries, ["payload"], batch_size=200)
