"""Whose update it is, and what becomes of a finished file."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from django.utils import timezone

from federation import killpoints, parsing, tasks
from federation.api.auth import client_in, principal_of
from federation.api.head import Head
from federation.api.raw import Exchange
from federation.models import Participation
from federation.services import rounds, seats
from federation.services.seats import updates
from federation.together import Together


def _moving(round_ids: Sequence[int]) -> list[bool]:
    found = {round_id: rounds.may_move(round_id) for round_id in set(round_ids)}
    return [found[round_id] for round_id in round_ids]


_may_move = Together(_moving)  # one look after several updates


def going_on(exchange: Exchange, seat: Participation) -> AbstractContextManager[None]:
    return exchange.going_on_as(principal_of(exchange.headers, seat.client))


def declared_bytes(exchange: Exchange) -> int:
    """The declared size of the body; 0 if there is none."""
    return parsing.whole(exchange.headers.get("content-length", "")) or 0


def receivable_seat(head: Head, seat_id: int) -> Participation:
    seat = seats.of(client_in(head), seat_id)
    updates.check_receivable(seat)
    return seat


def receive(seat: Participation, file: Path, digest: str | None) -> None:
    """Take a finished file in, and say so to whoever advances the session."""
    if updates.receive(seat, file, digest=digest, now=timezone.now()):
        killpoints.reached(killpoints.Point.UPDATE_ACCEPTED)
        if _may_move(seat.round_id):
            tasks.advance.delay(seat.round.session_id)
    killpoints.reached(killpoints.Point.ANSWER_LOST)
