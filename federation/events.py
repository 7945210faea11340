"""The logs: written with the change they describe, numbered without gap; every web process tails them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from federation import killpoints
from federation.compiled import Insert
from federation.models import Client, Event, Server, ServerEvent, TrainingSession
from federation.payloads import storable, storable_text

# What the server's log repeats, so that an open overview learns of it without following every session.
ANNOUNCED = {
    Event.Kind.SESSION_STARTED: ServerEvent.Kind.SESSION_STARTED,
    Event.Kind.SESSION_COMPLETED: ServerEvent.Kind.SESSION_COMPLETED,
    Event.Kind.SESSION_FAILED: ServerEvent.Kind.SESSION_FAILED,
    Event.Kind.SESSION_CANCELLED: ServerEvent.Kind.SESSION_CANCELLED,
}
# Called with the kinds that a commit logged: the feed of this process wakes.
on_commit: list[Callable[[Collection[str]], None]] = []


_COUNT_UP = f'UPDATE "{TrainingSession._meta.db_table}" SET last_seq = last_seq + %s WHERE id = %s RETURNING last_seq'  # nosec B608  a name of ours
_insert = Insert(Event, "session", "seq", "kind", "time", "payload", as_json=("payload",))


def record(session_id: int, kind: Event.Kind, **payload: Any) -> None:
    """Append an event to a session's log. Call last, inside the transaction that makes the change."""
    record_all(session_id, [(kind, payload)])


def record_all(session_id: int, entries: Sequence[tuple[Event.Kind, dict[str, Any]]]) -> None:
    """Append several events at once."""
    _require_transaction()
    # The UPDATE locks the row until commit, so seq order is commit order and a reader that has
    # seen seq n has seen everything before it.
    with connection.cursor() as cursor:
        cursor.execute(_COUNT_UP, [len(entries), session_id])
        (last,) = cursor.fetchone()
    now, first = timezone.now(), last - len(entries) + 1
    _insert(
        (session_id, seq, kind, now, storable_text(payload)) for seq, (kind, payload) in enumerate(entries, start=first)
    )
    for kind, payload in entries:
        if kind in ANNOUNCED:
            record_server(ANNOUNCED[kind], session={"id": str(session_id)}, **payload)
    killpoints.reached(killpoints.Point.EVENT_WRITTEN)
    transaction.on_commit(partial(_wake, {kind for kind, _ in entries}))


def record_server(kind: ServerEvent.Kind, **payload: Any) -> None:
    """Append an event to the server's log, under the same rules."""
    _require_transaction()
    if not Server.objects.filter(pk=1).update(last_seq=F("last_seq") + 1):
        Server.objects.get_or_create(pk=1)  # two may write the very first entry at once
        Server.objects.filter(pk=1).update(last_seq=F("last_seq") + 1)
    ServerEvent.objects.create(seq=Server.objects.get(pk=1).last_seq, kind=kind, payload=storable(payload))
    transaction.on_commit(partial(_wake, {kind}))


def reference(client: Client) -> dict[str, str]:
    """How a payload names a client."""
    return {"id": str(client.pk), "name": client.name}


def _require_transaction() -> None:
    """Without one a reader could see the number before the event, and never see the event."""
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("An event is written within the transaction that makes the change.")


def _wake(kinds: Collection[str]) -> None:
    killpoints.reached(killpoints.Point.EVENT_COMMITTED)
    for wake in on_commit:
        wake(kinds)
