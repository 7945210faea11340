"""Seats are made with a round and offered to the clients that ask for work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Max

from federation import reasons
from federation.compiled import Insert, Select, Update
from federation.errors import NotFound
from federation.lifecycle import OPEN, FileStatus, SeatStatus
from federation.models import Client, Event, Participation, Round
from federation.services.seats import counted
from federation.services.seats.payload import describe
from federation.services.seats.writing import Writing, write

FRESH: dict[str, Any] = {  # what a seat has before its client works
    "digest": "",
    "num_bytes": 0,
    "num_examples": None,
    "metrics": {},
    "counted_examples": None,
    "update_norm": None,
    "flags": [],
    "reported_at": None,
    "phase": "",
    "fraction": 0.0,
    "upload_offset": 0,
    "upload_length": None,
    "timings": None,
    **reasons.NONE,
}


def _of(related: str, names: Iterable[str]) -> list[str]:
    return [f"{related}__{name}" for name in names]


# What calls of agents read of a seat and its round; the rest is fetched where somebody asks for it after all.
_SEAT = (
    "client",
    "round",
    "status",
    "turn",
    "deadline",
    "phase",
    "fraction",
    "taken_at",
    "training_at",
    "trained_at",
    "reason",
    "num_points",
    "points_left_out",
)


_ROUND = ("kind", "number", "attempt", "status", "deadline", "session", "base_model")


_BASE = ("version", "digest", "num_bytes", "slots_digest")


_UPDATE = ("digest", "num_bytes", "upload_offset", "upload_length")


_SESSION = (
    *("workload", "compression", "compression_options", "defences", "strategy"),
    *("buffers", "staying_tensors", "frozen_tensors"),
)


_WORK = (
    *("name", "seed", "train", "strategy_options", "fine_tune_epochs", "rounds"),
    *("workload_digest", "workload_version", "workload_options", "declaration"),
    *("optimizer", "optimizer_options", "rate_schedule", "rate_schedule_options", "local_options"),
)


_TOLD = ("info", "understands")  # by the client, about itself


_READ = (*_SEAT, *_of("round", _ROUND), *_of("round__base_model", _BASE), *_of("round__session", _SESSION))


_with_round = Participation.objects.select_related("round__session", "round__base_model").order_by()


_own = Select(lambda pk, client: _with_round.filter(pk=pk, client=client).only(*_READ, *_UPDATE), int, int)


_offered = Select(
    lambda client, token: (  # a replaced token gets no work, nor does a disabled client
        _with_round.select_related("client", "last_update")
        .filter(client=client, client__token_hash=token, client__enabled=True)
        .filter(status__among=OPEN)
        .only(*_READ, *_of("round__session", _WORK), *_of("client", _TOLD), "last_update__digest")
        .order_by("pk")
    ),
    int,
    str,
)


_PLACE = ("round", "client", "seat", "turn", "invited_at", "deadline", "last_update", "base_version")
_invite = Insert(Participation, *_PLACE, "status", "file_status", "staleness", *FRESH)


_taken = Update(Participation, "status", "taken_at", "progress_at", only={"status": (SeatStatus.INVITED,)})


def of(client: Client, seat_id: int) -> Participation:
    """A client's own seat, with its round, session and base model. Raises NotFound for any other."""
    seat = _own.first(seat_id, client.pk)
    if seat is None:
        raise NotFound(f"{client.name} has no participation {seat_id}.")
    seat.client = client
    return seat


def invite(round_: Round, clients: Sequence[Client]) -> None:
    """Give clients a seat each, numbered in their order. Call inside the transaction that opens the round."""
    _seat(round_, [(client, 1) for client in clients], first=1)


def invite_for(round_: Round, clients: Sequence[Client], *, now: datetime, seconds: float) -> list[Participation]:
    """The same for a round that clients join, where a seat has a time of its own. The round is locked.

    A client may have had seats in this round or in another try of it: each is another turn.
    """
    tries = Participation.objects.filter(round__session=round_.session_id, round__kind=round_.kind)
    before = Counter(
        tries.filter(round__number=round_.number, client__in=clients).order_by().values_list("client_id", flat=True)
    )
    last = round_.seats.aggregate(last=Max("seat"))["last"] or 0
    turns = [(client, before[client.pk] + 1) for client in clients]
    _seat(round_, turns, first=last + 1, invited_at=now, deadline=now + timedelta(seconds=seconds))
    return list(round_.seats.filter(seat__gt=last).select_related("client", "round").order_by("seat"))


def _seat(
    round_: Round,
    turns: Sequence[tuple[Client, int]],
    *,
    first: int,
    invited_at: datetime | None = None,
    deadline: datetime | None = None,
) -> None:
    version = round_.base_model.version if round_.base_model else 0
    before = counted.last(round_, [client for client, _ in turns])
    rest = (version, SeatStatus.INVITED, FileStatus.STORED, 0, *FRESH.values())
    _invite(
        (round_.pk, client.pk, number, turn, invited_at, deadline, before.get(client.pk), *rest)
        for number, (client, turn) in enumerate(turns, start=first)
    )


def offer(client: Client, *, now: datetime) -> Participation | None:
    """The seat whose work a client should do now. The same one until it is final or has reported."""
    seat = _offered.first(client.pk, client.token_hash)
    if seat is None:
        return None
    for name in _TOLD:
        setattr(client, name, getattr(seat.client, name))
    seat.client = client
    if seat.status == SeatStatus.INVITED:
        _take(seat, now)
    return seat


def _take(seat: Participation, now: datetime) -> None:
    def take(writing: Writing) -> bool:
        taken = bool(_taken([(SeatStatus.TRAINING, now, now, seat.pk)]))
        if taken:
            writing.entries[seat.round.session_id].append((Event.Kind.SEAT_TRAINING, describe(seat)))
        return taken

    if write(seat, take):
        seat.status = SeatStatus.TRAINING
