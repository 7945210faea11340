"""Seats are made with a round and offered to the clients that ask for work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from federation import events, reasons
from federation.compiled import Insert, Select, Update
from federation.errors import NotFound
from federation.lifecycle import OPEN, FileStatus, RoundStatus, SeatStatus
from federation.models import Client, Event, GlobalModel, Participation, Round
from federation.services.seats.payload import describe

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
    "phase",
    "fraction",
    "taken_at",
    "training_at",
    "trained_at",
    "reason",
    "num_points",
    "points_left_out",
)


_ROUND = ("number", "attempt", "status", "deadline", "session", "base_model")


_BASE = ("version", "digest", "num_bytes")


_UPDATE = ("digest", "num_bytes", "upload_offset", "upload_length")


_SESSION = ("compression", "compression_options", "defences")


_WORK = (
    *("name", "seed", "train", "buffers", "strategy", "strategy_options"),
    *("workload", "workload_digest", "workload_version", "workload_options"),
)


_TOLD = ("info", "understands")  # by the client, about itself


_READ = (*_SEAT, *_of("round", _ROUND), *_of("round__base_model", _BASE), *_of("round__session", _SESSION))


_with_round = Participation.objects.select_related("round__session", "round__base_model").order_by()


_own = Select(lambda pk, client: _with_round.filter(pk=pk, client=client).only(*_READ, *_UPDATE), int, int)


_offered = Select(
    lambda client, token: (  # a replaced token gets no work, nor does a disabled client
        _with_round.select_related("client")
        .filter(client=client, client__token_hash=token, client__enabled=True)
        .filter(status__in=OPEN, round__status=RoundStatus.COLLECTING)
        .only(*_READ, *_of("round__session", _WORK), *_of("client", _TOLD))
        .order_by("pk")
    ),
    int,
    str,
)


_invite = Insert(Participation, "round", "client", "seat", "base_version", "status", "file_status", "staleness", *FRESH)


_taken = Update(Participation, "status", "taken_at", "progress_at", only={"status": (SeatStatus.INVITED,)})


def of(client: Client, seat_id: int) -> Participation:
    """A client's own seat, with its round, session and base model. Raises NotFound for any other."""
    seat = _own.first(seat_id, client.pk)
    if seat is None:
        raise NotFound(f"{client.name} has no participation {seat_id}.")
    seat.client = client
    return seat


def invite(round_: Round, clients: Sequence[Client], base: GlobalModel) -> None:
    """Give clients a seat each, numbered in their order. Call inside the transaction that opens the round."""
    _invite(
        (round_.pk, client.pk, number, base.version, SeatStatus.INVITED, FileStatus.STORED, 0, *FRESH.values())
        for number, client in enumerate(clients, start=1)
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


@transaction.atomic
def _take(seat: Participation, now: datetime) -> None:
    if _taken([(SeatStatus.TRAINING, now, now, seat.pk)]):
        seat.status = SeatStatus.TRAINING
        events.record(seat.round.session_id, Event.Kind.SEAT_TRAINING, **describe(seat))
