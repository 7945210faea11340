"""Seats: offered to the client that asks for work, given up, dropped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from federation import events
from federation.compiled import Insert, Select, Update
from federation.errors import Conflict, NotFound
from federation.lifecycle import OPEN, FileStatus, RoundStatus, SeatStatus
from federation.models import Client, Event, GlobalModel, Participation, Round

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
    "reason": "",
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
_WORK = ("name", "seed", "workload", "workload_digest", "workload_options", "train", "strategy", "strategy_options")
_READ = (*_SEAT, *_of("round", _ROUND), *_of("round__base_model", _BASE), *_of("round__session", _SESSION))

_with_round = Participation.objects.select_related("round__session", "round__base_model").order_by()
_own = Select(lambda pk, client: _with_round.filter(pk=pk, client=client).only(*_READ, *_UPDATE), int, int)
_offered = Select(
    lambda client, token: (  # a replaced token gets no work, nor does a disabled client
        _with_round.filter(client=client, client__token_hash=token, client__enabled=True)
        .filter(status__in=OPEN, round__status=RoundStatus.COLLECTING)
        .only(*_READ, *_of("round__session", _WORK))
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
    seat.client = client
    if seat.status == SeatStatus.INVITED:
        _take(seat, now)
    return seat


@transaction.atomic
def _take(seat: Participation, now: datetime) -> None:
    if _taken([(SeatStatus.TRAINING, now, now, seat.pk)]):
        seat.status = SeatStatus.TRAINING
        events.record(seat.round.session_id, Event.Kind.SEAT_TRAINING, **describe(seat))


@transaction.atomic
def fail(seat: Participation, *, reason: str) -> None:
    """A client gives up its seat. Saying so twice is harmless."""
    reason = reason.strip()[:500] or "The client gave no reason."
    if not Participation.objects.filter(pk=seat.pk, status__in=OPEN).update(status=SeatStatus.FAILED, reason=reason):
        seat.refresh_from_db(fields=["status"])
        if seat.status == SeatStatus.FAILED:
            return
        raise Conflict(f"This seat is {seat.status} and cannot be given up any more.")
    events.record(seat.round.session_id, Event.Kind.SEAT_FAILED, **describe(seat), reason=reason)


@transaction.atomic
def skip(seat: Participation, *, by: str) -> None:
    """An operator goes on without a client. What it sends later is kept, labelled late."""
    reason = f"Skipped by {by}."
    if not Participation.objects.filter(pk=seat.pk, status__in=OPEN).update(status=SeatStatus.DROPPED, reason=reason):
        seat.refresh_from_db(fields=["status"])
        raise Conflict(f"{seat.client.name} is {seat.status} in this round; only an open seat can be skipped.")
    events.record(seat.round.session_id, Event.Kind.SEAT_SKIPPED, **describe(seat), by=by)


def ask_again(seat: Participation) -> bool:
    """Open a reported seat again whose update was lost here. False, and it is dropped, where its client cannot.

    Call inside a transaction that has moved the round.
    """
    reported = Participation.objects.filter(pk=seat.pk, status=SeatStatus.REPORTED)
    if Client.objects.enrolled().filter(pk=seat.client_id, enabled=True).exists():
        try:
            with transaction.atomic():
                return bool(reported.update(status=SeatStatus.INVITED, **FRESH))
        except IntegrityError:  # it holds an open seat in another session
            pass
    reason = "Its update was damaged on the server's disk, and the client could not be asked again."
    reported.update(status=SeatStatus.DROPPED, reason=reason, file_status=FileStatus.LOST)
    return False


def drop_open(client: Client, *, reason: str) -> None:
    """Drop whatever seats a client holds open. Call inside a transaction."""
    drop(Participation.objects.filter(client=client), reason=reason)


def drop(those: QuerySet[Participation], *, reason: str, closing: bool = False) -> None:
    """End open seats. Call inside a transaction.

    closing: the round closes, so that a seat whose last update was refused is `rejected` for good.
    """
    # Locked: a seat whose update is accepted at this moment is not to be told as dropped.
    found = those.filter(status__in=OPEN).select_for_update(of=("self",))
    ended = list(found.select_related("client", "round").order_by("pk"))
    rows = Participation.objects.filter(pk__in=[seat.pk for seat in ended], status__in=OPEN)

    def why(seat: Participation) -> str:
        return seat.reason if closing and seat.reason else reason

    if closing:
        rows.exclude(reason="").update(status=SeatStatus.REJECTED)
    rows.update(status=SeatStatus.DROPPED, reason=reason)
    for session_id, dropped in groupby(sorted(ended, key=_session), key=_session):
        entries = [(Event.Kind.SEAT_DROPPED, describe(seat) | {"reason": why(seat)}) for seat in dropped]
        events.record_all(session_id, entries)  # at once: the round is locked meanwhile


def _session(seat: Participation) -> int:
    return seat.round.session_id


def describe(seat: Participation) -> dict[str, object]:
    """What every event about a seat says."""
    return {
        "participation": str(seat.pk),
        "client": events.reference(seat.client),
        "round": seat.round.number,
        "attempt": seat.round.attempt,
    }
