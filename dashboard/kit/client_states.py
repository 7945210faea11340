"""Clients with their states: what each is and does, and how many are in each state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import Count, Q

from dashboard.kit import formats, statuses
from dashboard.kit.statuses import Word
from federation.lifecycle import ACTIVE, OPEN, SeatStatus
from federation.models import Client, Participation, Phase, Round
from federation.services import info as infos
from federation.services.info import Info


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
    """Each client's state and what it does, in two queries for all."""
    held: dict[int, Participation] = {}
    active = list(Round.objects.filter(status__among=ACTIVE).order_by().values_list("pk", flat=True))
    rows = Participation.objects.filter(client__in=clients, round__in=active)
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
        holds = f", in {seat.round.label} of {seat.round.session.name}" if seat and seat.is_open else ""
        return f"silent for {silent}{holds}"
    if seat is None:
        return "ready"
    session = seat.round.session.name
    if seat.is_open:
        return f"{act(seat, now)}, {session}"
    return f"waits in {seat.round.label}, {session}"


def act(seat: Participation, now: datetime) -> str:
    """What an open seat is at."""
    since = statuses.unheard(seat, now)
    if since:
        return f"no word for {formats.minutes(since)}"
    if seat.status == SeatStatus.INVITED:
        return "offered work"
    done = f" {seat.done:.0%}".replace("%", f"{formats.THIN}%") if seat.phase and seat.done else ""
    return f"{seat.phase or Phase.DOWNLOADING}{done}"


def in_state(state: str, now: datetime) -> Q:
    """The clients of a state, as a condition: so that a page of them can be asked for."""
    online = Q(pk__in=Client.objects.online(now).values("pk"))
    busy = Q(pk__in=Participation.objects.filter(status__among=OPEN).values("client"))
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
