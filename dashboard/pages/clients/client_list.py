"""The list of clients: found, sorted, and with what each did in its last rounds."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Count, F, Q, QuerySet, TextField, Window
from django.db.models.functions import Cast, RowNumber

from dashboard.kit.client_states import Bar, Place, places
from federation.lifecycle import COUNTED, OPEN, RoundStatus, SeatStatus, WorkKind
from federation.models import Client, Participation

LAST = 14  # rounds that a client's bars show
SORTS = {
    "": "In the order they joined",
    "name": "By name",
    "examples": "Most examples first",
    "late": "Most often late first",
    "failed": "Most often failed first",
}


def with_numbers(clients: Sequence[Client], *, now: datetime) -> list[Place]:
    """The same with reliability and the last rounds: three queries, whatever their number."""
    found = places(clients, now=now)
    by_client = {place.client.pk: place for place in found}
    for row in _counts(clients):
        place = by_client[row["client"]]
        place.in_time, place.late, place.failed = row["in_time"], row["too_late"], row["gave_up"]
        place.rejected, place.dropped = row["refused"], row["given_up"]
    last: defaultdict[int, list[Participation]] = defaultdict(list)
    for seat in _last(clients):
        last[seat.client_id].append(seat)
    longest = max((_took(seat) or 0.0 for seats in last.values() for seat in seats), default=0.0)
    for pk, seats in last.items():
        known = [took for seat in seats if seat.status in COUNTED and (took := _took(seat)) is not None]
        by_client[pk].median_seconds = statistics.median(known) if known else None
        by_client[pk].bars = [_bar(seat, longest) for seat in reversed(seats)]
    return found


def _finished(clients: Sequence[Client]) -> QuerySet[Participation]:
    """Training that says something about a client: not open seats, nor those of a cancelled round."""
    rows = Participation.objects.filter(client__in=clients, round__kind=WorkKind.TRAIN)
    return rows.exclude(status__in=OPEN).exclude(round__status=RoundStatus.CANCELLED)


def _counts(clients: Sequence[Client]) -> Iterable[Mapping[str, Any]]:
    return (
        _finished(clients)
        .order_by()
        .values("client")
        .annotate(
            in_time=Count("pk", filter=Q(status__in=COUNTED)),
            too_late=Count("pk", filter=Q(status=SeatStatus.LATE)),
            gave_up=Count("pk", filter=Q(status=SeatStatus.FAILED)),
            refused=Count("pk", filter=Q(status=SeatStatus.REJECTED)),
            given_up=Count("pk", filter=Q(status=SeatStatus.DROPPED)),
        )
    )


def _last(clients: Sequence[Client]) -> QuerySet[Participation]:
    nth = Window(RowNumber(), partition_by=F("client"), order_by=F("pk").desc())
    rows = _finished(clients).annotate(nth=nth).filter(nth__lte=LAST)
    return rows.select_related("round").order_by("-pk")


def _took(seat: Participation) -> float | None:
    """Seconds from taking the work to the report, or to the end of the round."""
    end = seat.reported_at or seat.round.closed_at
    if seat.taken_at is None or end is None:
        return None
    return max(0.0, (end - seat.taken_at).total_seconds())


def _bar(seat: Participation, longest: float) -> Bar:
    look = "run" if seat.status in COUNTED else "late" if seat.status == SeatStatus.LATE else "bad"
    return Bar(look, max(0.08, (_took(seat) or 0.0) / longest) if longest else 0.08)


def matching(query: str) -> QuerySet[Client]:
    """Enrolled clients whose name contains some text, or who carry it as a tag."""
    found = Client.objects.enrolled()
    if not query:
        return found
    as_text = Cast("tags", TextField())  # neither database's JSON operators work on both
    return found.annotate(tag_text=as_text).filter(Q(name__icontains=query) | Q(tag_text__icontains=f'"{query}"'))


def ordered(found: QuerySet[Client], sort: str) -> QuerySet[Client]:
    """In one of the orders of SORTS. Seats are only counted where the order asks for it."""
    if sort == "name":
        return found.order_by("name", "pk")
    if sort == "examples":
        return found.order_by(F("num_examples").desc(nulls_last=True), "pk")
    if sort in (SeatStatus.LATE, SeatStatus.FAILED):
        so_often = Count("seats", filter=Q(seats__status=sort) & ~Q(seats__round__status=RoundStatus.CANCELLED))
        return found.annotate(so_often=so_often).order_by("-so_often", "pk")
    return found
