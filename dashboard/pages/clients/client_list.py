"""The list of clients: found, sorted, and with what each did in its last rounds."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db.models import Count, F, OuterRef, Q, QuerySet, Subquery, TextField
from django.db.models.functions import Cast, Coalesce

from dashboard.kit.client_states import Bar, Place, places
from federation import schedules
from federation.lifecycle import COUNTED, OPEN, RoundStatus, SeatReason, SeatStatus, WorkKind
from federation.models import Client, Participation

LAST = 14  # rounds that a client's bars show
JUDGED = 100  # rounds that its reliability is of
SORTS = {
    "": "In the order they joined",
    "name": "By name",
    "examples": "Most examples first",
    "late": "Most often late first",
    "failed": "Most often failed first",
}


# Where rounds wait for nobody, who goes on is not late, and who is not needed any more did nothing wrong.
WENT_ON = Q(status=SeatStatus.LATE, reason="", round__session__schedule__in=schedules.JOINED)
NOT_NEEDED = Q(status=SeatStatus.DROPPED, reason_code=SeatReason.ROUND_CLOSED)
NOT_NEEDED &= ~Q(round__session__schedule__in=schedules.PATIENT)


def with_numbers(clients: Sequence[Client], *, now: datetime) -> list[Place]:
    """The same with what became of their last rounds: three queries more, whatever their number."""
    found = places(clients, now=now)
    by_client = {place.client.pk: place for place in found}
    first = _firsts(clients)
    for row in _counts(first):
        place = by_client[row["client"]]
        place.in_time, place.late, place.failed = row["in_time"], row["too_late"], row["gave_up"]
        place.rejected, place.dropped = row["refused"], row["given_up"]
    last: defaultdict[int, list[Participation]] = defaultdict(list)
    for seat in _last(first):
        last[seat.client_id].append(seat)
    longest = max((_took(seat) or 0.0 for seats in last.values() for seat in seats), default=0.0)
    for pk, seats in last.items():
        known = [took for seat in seats if is_in_time(seat) and (took := _took(seat)) is not None]
        by_client[pk].median_seconds = statistics.median(known) if known else None
        by_client[pk].bars = [_bar(seat, longest) for seat in reversed(seats)]
    return found


def _finished() -> QuerySet[Participation]:
    """Training that says something about a client: no open seats, none of a cancelled round, and none not needed."""
    rows = Participation.objects.filter(round__kind=WorkKind.TRAIN).order_by()
    return rows.exclude(status__among=OPEN).exclude(round__status=RoundStatus.CANCELLED).exclude(NOT_NEEDED)


def _firsts(clients: Sequence[Client]) -> Sequence[Mapping[str, int]]:
    """Of each client the first of its last JUDGED seats, and of its last LAST; 0 where it has not so many.

    It reads these seats alone, however many there are.
    """
    mine = _finished().filter(client=OuterRef("pk")).order_by("-pk").values("pk")
    first = {name: Coalesce(Subquery(mine[n - 1 : n]), 0) for name, n in (("judged", JUDGED), ("last", LAST))}
    return list(
        Client.objects.filter(pk__in=[one.pk for one in clients]).order_by().annotate(**first).values("pk", *first)
    )


def _since(first: Sequence[Mapping[str, int]], name: str) -> QuerySet[Participation]:
    those = Q(pk__in=())
    for row in first:
        those |= Q(client=row["pk"], pk__gte=row[name])
    return _finished().filter(those)


def _counts(first: Sequence[Mapping[str, int]]) -> Iterable[Mapping[str, Any]]:
    return (
        _since(first, "judged")
        .values("client")
        .annotate(
            in_time=Count("pk", filter=Q(status__in=COUNTED) | WENT_ON),
            too_late=Count("pk", filter=Q(status=SeatStatus.LATE) & ~WENT_ON),
            gave_up=Count("pk", filter=Q(status=SeatStatus.FAILED)),
            refused=Count("pk", filter=Q(status=SeatStatus.REJECTED)),
            given_up=Count("pk", filter=Q(status=SeatStatus.DROPPED)),
        )
    )


def _last(first: Sequence[Mapping[str, int]]) -> QuerySet[Participation]:
    return _since(first, "last").select_related("round__session").order_by("-pk")


def is_in_time(seat: Participation) -> bool:
    """Whether its update counts, and came as soon as its session wants it."""
    return seat.status in COUNTED or (seat.went_on and seat.round.session.schedule in schedules.JOINED)


def _took(seat: Participation) -> float | None:
    """Seconds from taking the work to the report, or to the end of the round."""
    end = seat.reported_at or seat.round.closed_at
    if seat.taken_at is None or end is None:
        return None
    return max(0.0, (end - seat.taken_at).total_seconds())


def _bar(seat: Participation, longest: float) -> Bar:
    look = "run" if is_in_time(seat) else "late" if seat.status == SeatStatus.LATE else "bad"
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
        counted = Participation.objects.filter(client=OuterRef("pk"), status=sort).order_by()
        counted = counted.exclude(round__status=RoundStatus.CANCELLED).exclude(WENT_ON)
        so_often = Coalesce(Subquery(counted.values("client").annotate(n=Count("pk")).values("n")), 0)
        return found.annotate(so_often=so_often).order_by("-so_often", "pk")
    return found
