"""The logs: written with the change they describe, numbered without gap; every web process tails them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db import transaction
from django.db.models import F

from federation import killpoints
from federation.models import Client, Event, Server, ServerEvent, TrainingSession

# What the server's log repeats, so that an open overview learns of it without following every session.
ANNOUNCED = {
    Event.Kind.SESSION_STARTED: ServerEvent.Kind.SESSION_STARTED,
    Event.Kind.SESSION_COMPLETED: ServerEvent.Kind.SESSION_COMPLETED,
    Event.Kind.SESSION_FAILED: ServerEvent.Kind.SESSION_FAILED,
    Event.Kind.SESSION_CANCELLED: ServerEvent.Kind.SESSION_CANCELLED,
}
on_commit: list[Callable[[], None]] = []  # called after a commit that logged something: the feed of this process wakes


def record(session_id: int, kind: Event.Kind, **payload: Any) -> None:
    """Append an event to a session's log. Call last, inside the transaction that makes the change."""
    record_all(session_id, [(kind, payload)])


def record_all(session_id: int, entries: Sequence[tuple[Event.Kind, dict[str, Any]]]) -> None:
    """Append several events at once."""
    _require_transaction()
    # The UPDATE locks the row until commit, so seq order is commit order and a reader that has
    # seen seq n has seen everything before it.
    TrainingSession.objects.filter(pk=session_id).update(last_seq=F("last_seq") + len(entries))
    last = TrainingSession.objects.values_list("last_seq", flat=True).get(pk=session_id)
    first = last - len(entries) + 1
    Event.objects.bulk_create(
        Event(session_id=session_id, seq=seq, kind=kind, payload=payload)
        for seq, (kind, payload) in enumerate(entries, start=first)
    )
    for kind, payload in entries:
        if kind in ANNOUNCED:
            record_server(ANNOUNCED[kind], session={"id": str(session_id)}, **payload)
    killpoints.reached(killpoints.Point.EVENT_WRITTEN)
    transaction.on_commit(_wake)


def record_server(kind: ServerEvent.Kind, **payload: Any) -> None:
    """Append an event to the server's log, under the same rules."""
    _require_transaction()
    if not Server.objects.filter(pk=1).update(last_seq=F("last_seq") + 1):
        Server.objects.get_or_create(pk=1)  # two may write the very first entry at once
        Server.objects.filter(pk=1).update(last_seq=F("last_seq") + 1)
    ServerEvent.objects.create(seq=Server.objects.get(pk=1).last_seq, kind=kind, payload=payload)
    transaction.on_commit(_wake)


def reference(client: Client) -> dict[str, str]:
    """How a payload names a client."""
    return {"id": str(client.pk), "name": client.name}


def _require_transaction() -> None:
    """Without one a reader could see the number before the event, and never see the event."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("An event is written within the transaction that makes the change.")


def _wake() -> None:
    killpoints.reached(killpoints.Point.EVENT_COMMITTED)
    for wake in on_commit:
        wake()
