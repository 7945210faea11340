"""What the tests of the server side do again and again, as plain functions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256
from typing import Any, TypeVar

import numpy as np
from django.db import connections

from federation import storage
from federation.fl import weights
from federation.models import Client, Event, Participation, ServerEvent, TrainingSession
from federation.services import rounds, seats
from federation.services.seats import updates

T = TypeVar("T")
SIZE = 10  # parameters of the model that is trained here


def token_of(name: str) -> str:
    """The token that a client of this name brought with it."""
    return sha256(name.encode()).hexdigest()


def seat_of(name: str) -> Participation:
    """A client's newest seat, as it stands in the database."""
    client = Client.objects.get(name=name)
    return seats.of(client, client.seats.latest("pk").pk)


def update(
    seat: Participation, value: float = 0.5, *, tensors: dict[str, Any] | None = None, **metadata: str | None
) -> bytes:
    """A seat's update as the file that its client would send. A metadata string of None is left out."""
    known = {"num_examples": "50", "base_digest": seat.round.base_model.digest} | metadata
    delta = {"weight": np.full(SIZE, value, np.float32)} if tensors is None else tensors
    return weights.dump(delta, {name: text for name, text in known.items() if text is not None})


def send(name: str, body: bytes | None = None, *, now: datetime, value: float = 0.5, **metadata: str | None) -> bool:
    """A client's update arrives."""
    seat = seat_of(name)
    with storage.scratch() as file:
        file.write_bytes(update(seat, value, **metadata) if body is None else body)
        return updates.receive(seat, file, now=now)


def settle(session: TrainingSession, *, now: datetime) -> TrainingSession:
    """Make every move that is due, as a worker does."""
    for _ in range(100):
        if not rounds.advance(TrainingSession.objects.get(pk=session.pk), now=now):
            session.refresh_from_db()
            return session
    raise AssertionError("the session never comes to rest")


def damage_file(digest: str, how: str = "flipped") -> None:
    """Flip one bit of a stored file, or lose it."""
    file = storage.path(digest)
    if how == "missing":
        file.unlink()
        return
    data = bytearray(file.read_bytes())
    data[-3] ^= 0x10
    file.write_bytes(data)


def kinds(session: TrainingSession) -> list[str]:
    """What a session's log says, without the payloads."""
    return list(Event.objects.filter(session=session).order_by("seq").values_list("kind", flat=True))


def last_payload(session: TrainingSession, kind: Event.Kind) -> dict[str, Any]:
    return Event.objects.filter(session=session, kind=kind).latest("seq").payload


def server_kinds() -> list[str]:
    """Without those of invitations: whoever enrols needs one."""
    found = ServerEvent.objects.exclude(kind__startswith="invitation.").order_by("seq")
    return list(found.values_list("kind", flat=True))


def at_once(*functions: Callable[[], T]) -> list[T | Exception]:
    """Call functions at the same moment, each in a thread with a connection of its own. An exception is a result."""
    start = threading.Barrier(len(functions))
    results: list[T | Exception] = [AssertionError("it did not end")] * len(functions)

    def run(index: int, function: Callable[[], T]) -> None:
        start.wait(10)
        try:
            results[index] = function()
        except Exception as error:
            results[index] = error
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results
