"""Which agent acts for a client: one at a time, among those that tell who they are (header FL-Agent-Instance).

Each start of an agent draws a secret, its `start`, and keeps it in its state folder. `after` lists earlier starts in
that folder; the folder's lock proves that they are over. A process whose `after` contains the present start takes over
at once, whatever its host name and clock. Any other process is refused, with the name of the present one, until that
one is silent by the server's clock. A copy of the folder recognises itself and lists no earlier start.

Agents of version 0.1.0 send no start: for them, a later `since` at the same `id` is the successor.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache

from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from federation.errors import Conflict, Invalid
from federation.models import Client

HEADER = "FL-Agent-Instance"
HELD = "FL-Agent-Held"  # marks the refusal, which ends an agent
LONGEST_KNOWN = 700  # characters
LONGEST = 2500  # of the longest id and host, each character written as \\uXXXX
MOST_CHARACTERS = {"id": 64, "host": 253, "start": 64}
MOST_BEFORE = 8  # starts in `after`


class HeldElsewhere(Conflict):
    title = "Another agent acts for this client"


@dataclass(frozen=True, slots=True)
class Instance:
    id: str
    host: str
    pid: int
    since: datetime
    takes_over: bool = False
    start: str = ""  # of this process; empty for an agent of version 0.1.0
    after: tuple[str, ...] = ()  # earlier starts in the same folder


def parse(header: str) -> Instance:
    """Raises Invalid with what is allowed."""
    if len(header) > LONGEST:
        raise _invalid()
    return _known(header) if len(header) <= LONGEST_KNOWN else _parsed(header)


def _parsed(header: str) -> Instance:
    try:
        given = json.loads(header)
        since = _in_utc(parse_datetime(given["since"]))
        made = Instance(
            id=given["id"],
            host=given["host"],
            pid=given["pid"],
            since=since,  # type: ignore[arg-type]
            takes_over=given.get("take_over", False),
            start=given.get("start", ""),
            after=tuple(_listed(given.get("after", []))),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        raise _invalid() from None
    if not _is_valid(made):
        raise _invalid()
    return made


def _listed(value: object) -> list[str]:
    if not isinstance(value, list) or len(value) > MOST_BEFORE:
        raise TypeError
    return value


def _in_utc(time: datetime | None) -> datetime | None:
    """The time in UTC; None without a time zone. Raises OverflowError if UTC has no such year."""
    return time.astimezone(UTC) if time is not None and timezone.is_aware(time) else None


_known = lru_cache(2048)(_parsed)  # an agent sends the same words with each call


def _is_valid(given: Instance) -> bool:
    told = [("id", given.id), ("host", given.host), *(("start", start) for start in given.after)]
    if given.start != "":
        told.append(("start", given.start))
    texts = all(
        isinstance(value, str) and value.isprintable() and 1 <= len(value) <= MOST_CHARACTERS[name]
        for name, value in told
    )
    number = isinstance(given.pid, int) and not isinstance(given.pid, bool) and 0 <= given.pid < 2**31
    return texts and number and given.since is not None and isinstance(given.takes_over, bool)


def _invalid() -> Invalid:
    needs = 'a JSON object such as {"id": "3f9c", "host": "a.example", "pid": 12, "since": "2026-01-01T00:00:00Z"}'
    return Invalid(
        (HEADER, f"{HEADER} must be {needs}; it may also contain take_over (true), start (a text) and after (a list).")
    )


def hold(client: Client, instance: Instance, *, now: datetime) -> None:
    """Note that this agent acts for the client. Raises HeldElsewhere while another one does."""
    if _is_held_by(client, instance):
        return
    if not (_is_free(client, now) or instance.takes_over or _succeeds(client, instance)):
        raise HeldElsewhere(_sentence(client), headers={HELD: "1"})
    mine = {
        "instance": instance.id,
        "instance_host": instance.host,
        "instance_pid": instance.pid,
        "instance_since": instance.since,
        "instance_start": instance.start,
    }
    before = {name: getattr(client, name) for name in ("instance", "instance_since", "instance_start")}
    won = Client.objects.filter(pk=client.pk, **before).update(**mine)
    client.refresh_from_db(fields=list(mine))
    if not won and not _is_held_by(client, instance):  # two came at once
        raise HeldElsewhere(_sentence(client), headers={HELD: "1"})


def _is_held_by(client: Client, instance: Instance) -> bool:
    mine = (client.instance, client.instance_start) == (instance.id, instance.start)
    return mine and (instance.start != "" or client.instance_since == instance.since)


def _is_free(client: Client, now: datetime) -> bool:
    return not client.instance or client.last_seen is None or client.last_seen <= now - settings.FL_ONLINE


def _succeeds(client: Client, instance: Instance) -> bool:
    """Whether this process knows that the process that acts for the client has ended."""
    if client.instance_start and instance.start:
        return client.instance_start in instance.after
    same = client.instance == instance.id
    return same and client.instance_since is not None and instance.since > client.instance_since


def _sentence(client: Client) -> str:
    since = f"{client.instance_since:%Y-%m-%d %H:%M:%S} UTC" if client.instance_since else "a while"
    who = f"process {client.instance_pid} on {client.instance_host}, since {since}"
    patience = f"{settings.FL_ONLINE.total_seconds():.0f} s"
    return (
        f"Another agent acts for {client.name} with this token: {who}. Stop that one, "
        f"start this one with --take-over, or wait until it has been silent for {patience}."
    )
