"""The clients as pages list them: what each is, does and did."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, F, Q, QuerySet, TextField, Window
from django.db.models.functions import Cast, RowNumber

from dashboard.kit import formats, statuses
from dashboard.kit.statuses import Word
from federation.lifecycle import ACTIVE, COUNTED, OPEN, RoundStatus, SeatStatus
from federation.models import Client, Participation, Phase
from federation.services import info as infos
from federation.services.info import Info

LAST = 14  # rounds that a client's bars show
SORTS = {
    "": "In the order they joined",
    "name": "By name",
    "examples": "Most examples first",
    "late": "Most often late first",
    "failed": "Most often failed first",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One of a client's last rounds: how long it took, as a share of the longest shown."""

    look: str  # run, late or bad
    height: float

    @property
    def tall(self) -> float:
        """Of the 22 units that a bar may be high."""
        return round(22 * self.height, 1)

    @property
    def top(self) -> float:
        return round(24 - 22 * self.height, 1)


@dataclass(slots=True)
class Place:
    """A client with its state."""

    client: Client
    word: Word
    doing: str
    seat: Participation | None
    in_time: int = 0
    late: int = 0
    failed: int = 0
    rejected: int = 0  # its update was refused
    dropped: int = 0  # its seat was given up: skipped, silent at the deadline, disabled
    median_seconds: float | None = None
    bars: list[Bar] = field(default_factory=list)
    _info: Info | None = None

    @property
    def info(self) -> Info:
        """What is known about its machine and data."""
        if self._info is None:
            self._info = infos.of(self.client.info)
        return self._info

    @property
    def state(self) -> str:
        return self.word.text.lower()

    @property
    def rounds(self) -> int:
        return self.in_time + self.late + self.failed + self.rejected + self.dropped

    @property
    def share_in_time(self) -> float:
        return self.in_time / max(1, self.rounds)

    @property
    def device(self) -> str:
        """'NVIDIA A40', or 'CPU, 16 cores'."""
        gpu = self.info.gpu.partition(",")[0]
        if gpu and self.info.device != "cpu":
            return gpu
        kind = {"mps": "Apple GPU", "cuda": "GPU", "cpu": "CPU"}.get(self.info.device, "")
        return f"{kind or 'CPU'}, {self.info.cores} cores" if self.info.cores else kind

    @property
    def shares_labels(self) -> bool:
        """Whether the site lets its agent report label counts (if its data have labels) and the fingerprint."""
        info = self.client.info
        return isinstance(info, dict) and ("label_histogram" in info or "data_fingerprint" in info)

    @property
    def system(self) -> str:
        """'Linux, 128 GiB'."""
        system, memory = self.info.platform.partition(" ")[0], self.info.memory
        held = "" if memory is None else f"{memory / 2**30:.0f} GiB"
        return ", ".join(part for part in (system, held) if part)

    @property
    def version(self) -> str:
        return self.info.version


def places(clients: Sequence[Client], *, now: datetime) -> list[Place]:
    """Each client's state and what it does, in one query for all."""
    held: dict[int, Participation] = {}
    rows = Participation.objects.filter(client__in=clients, round__status__in=ACTIVE)
    for seat in rows.select_related("round__session").order_by("pk"):
        kept = held.get(seat.client_id)
        if kept is None or kept.status not in OPEN:
            held[seat.client_id] = seat
    return [_place(client, held.get(client.pk), now) for client in clients]


def _place(client: Client, seat: Participation | None, now: datetime) -> Place:
    word = statuses.of_client(client, seat, online=client.is_online(now))
    return Place(client, word, _doing(client, seat, word, now), seat)


def _doing(client: Client, seat: Participation | None, word: Word, now: datetime) -> str:
    if word == statuses.REMOVED:
        return "it can come back only by a new invitation, as another client"
    if word == statuses.DISABLED:
        return "takes part in no round"
    if word == statuses.AWAY:
        if client.last_seen is None:
            return "left; it comes back by itself"
        silent = formats.minutes((now - client.last_seen).total_seconds())
        holds = f", in round {seat.round.number} of {seat.round.session.name}" if seat and seat.is_open else ""
        return f"silent for {silent}{holds}"
    if seat is None:
        return "ready"
    session, number = seat.round.session.name, seat.round.number
    if seat.is_open:
        return f"{act(seat, now)}, {session}"
    return f"waits in round {number}, {session}"


def act(seat: Participation, now: datetime) -> str:
    """What an open seat is at."""
    since = statuses.unheard(seat, now)
    if since:
        return f"no word for {formats.minutes(since)}"
    if seat.status == SeatStatus.INVITED:
        return "offered work"
    done = f" {seat.done:.0%}".replace("%", f"{formats.THIN}%") if seat.phase and seat.done else ""
    return f"{seat.phase or Phase.DOWNLOADING}{done}"


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
    """Seats that say something about their client: not the open ones, nor those of a cancelled round."""
    rows = Participation.objects.filter(client__in=clients)
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


def in_state(state: str, now: datetime) -> Q:
    """The clients of a state, as a condition: so that a page of them can be asked for."""
    online = Q(pk__in=Client.objects.online(now).values("pk"))
    busy = Q(pk__in=Participation.objects.filter(status__in=OPEN).values("client"))
    return {
        "busy": online & busy,
        "online": online & ~busy,
        "away": Q(enabled=True) & ~online,
        "disabled": Q(enabled=False),
    }.get(state, Q())


def tally(now: datetime) -> dict[str, int]:
    """How many enrolled clients are in each state, and how many examples they hold."""
    states = ("busy", "online", "away", "disabled")
    counted = Client.objects.enrolled().aggregate(
        all=Count("pk"), **{state: Count("pk", filter=in_state(state, now)) for state in states}
    )
    return {name: counted[name] for name in ("all", *states)}
