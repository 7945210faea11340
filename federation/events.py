"""The logs: written with the change they describe, numbered without gap; every web process tails them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from federation import killpoints
from federation.compiled import Insert, cursor
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


Entry = tuple[Event.Kind, dict[str, Any]]

_COUNT_UP = f'UPDATE "{TrainingSession._meta.db_table}" SET last_seq = last_seq + %s WHERE id = %s RETURNING last_seq'  # nosec B608  a name of ours
_insert = Insert(Event, "session", "seq", "kind", "time", "payload", as_json=("payload",))
# Both at once, in PostgreSQL's words: a further statement would hold the session's row for its way there and back.
_NUMBERED = f"""
    WITH counted AS ({_COUNT_UP})
    INSERT INTO "{Event._meta.db_table}" (session_id, seq, kind, time, payload)
    SELECT %s, counted.last_seq - %s + given.place, given.kind, %s, given.payload::jsonb
    FROM counted, unnest(%s::text[], %s::text[]) WITH ORDINALITY AS given (kind, payload, place)
"""  # nosec B608  names of ours


def record(session_id: int, kind: Event.Kind, **payload: Any) -> None:
    """Append an event to a session's log. Call last, inside the transaction that makes the change."""
    record_all(session_id, [(kind, payload)])


def record_all(session_id: int, entries: Sequence[Entry]) -> None:
    """Append several events at once."""
    _require_transaction()
    # Counting locks the row until commit, so seq order is commit order and a reader that has seen seq n has seen
    # everything before it.
    kinds, texts = [str(kind) for kind, _ in entries], [storable_text(payload) for _, payload in entries]
    number = _number_at_once if connection.vendor == "postgresql" else _count_and_number
    number(session_id, kinds, texts, timezone.now())
    for kind, payload in entries:
        if kind in ANNOUNCED:
            record_server(ANNOUNCED[kind], session={"id": str(session_id)}, **payload)
    killpoints.reached(killpoints.Point.EVENT_WRITTEN)
    transaction.on_commit(partial(_wake, {kind for kind, _ in entries}))


def _number_at_once(session_id: int, kinds: Sequence[str], texts: Sequence[str], now: datetime) -> None:
    count = len(kinds)
    with cursor() as writing:
        writing.execute(_NUMBERED, [count, session_id, session_id, count, now, kinds, texts])
        if writing.rowcount != count:
            raise TrainingSession.DoesNotExist(f"There is no session {session_id} to write to.")


def _count_and_number(session_id: int, kinds: Sequence[str], texts: Sequence[str], now: datetime) -> None:
    with cursor() as writing:
        writing.execute(_COUNT_UP, [len(kinds), session_id])
        found = writing.fetchone()
    if found is None:
        raise TrainingSession.DoesNotExist(f"There is no session {session_id} to write to.")
    first = found[0] - len(kinds) + 1
    _insert(
        (session_id, seq, kind, now, text) for seq, (kind, text) in enumerate(zip(kinds, texts, strict=True), first)
    )


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
