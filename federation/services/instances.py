"""Which agent acts for a client: one at a time, among those that tell who they are (header FL-Agent-Instance).

An agent's id stands for its state folder in its place: a process that comes back there has the same one, a
copy of the folder has another. So of two with one token the second is refused, and says who was first.
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
LONGEST_KNOWN = 500  # characters
LONGEST = 2500  # of the longest id and host, each character written as \\uXXXX
MOST_CHARACTERS = {"id": 64, "host": 253}


class HeldElsewhere(Conflict):
    title = "Another agent acts for this client"


@dataclass(frozen=True, slots=True)
class Instance:
    id: str
    host: str
    pid: int
    since: datetime
    takes_over: bool = False


def parse(header: str) -> Instance:
    """Raises Invalid with what is allowed."""
    if len(header) > LONGEST:
        raise _invalid()
    return _known(header) if len(header) <= LONGEST_KNOWN else _parsed(header)


def _parsed(header: str) -> Instance:
    try:
        given = json.loads(header)
        since = _in_utc(parse_datetime(given["since"]))
        made = Instance(given["id"], given["host"], given["pid"], since, given.get("take_over", False))  # type: ignore[arg-type]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        raise _invalid() from None
    if not _can_be(made):
        raise _invalid()
    return made


def _in_utc(time: datetime | None) -> datetime | None:
    """None for what does not say its zone. Raises OverflowError for what is in no year of UTC."""
    return time.astimezone(UTC) if time is not None and timezone.is_aware(time) else None


_known = lru_cache(2048)(_parsed)  # an agent sends the same words with each call


def _can_be(given: Instance) -> bool:
    texts = all(
        isinstance(value, str) and value.isprintable() and 1 <= len(value) <= MOST_CHARACTERS[name]
        for name, value in (("id", given.id), ("host", given.host))
    )
    number = isinstance(given.pid, int) and not isinstance(given.pid, bool) and 0 <= given.pid < 2**31
    return texts and number and given.since is not None and isinstance(given.takes_over, bool)


def _invalid() -> Invalid:
    needs = 'a JSON object such as {"id": "3f9c", "host": "a.example", "pid": 12, "since": "2026-01-01T00:00:00Z"}'
    return Invalid((HEADER, f"{HEADER} must be {needs}; take_over may be true in it."))


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
    }
    before = {"instance": client.instance, "instance_since": client.instance_since}
    won = Client.objects.filter(pk=client.pk, **before).update(**mine)
    client.refresh_from_db(fields=list(mine))
    if not won and not _is_held_by(client, instance):  # two came at once
        raise HeldElsewhere(_sentence(client), headers={HELD: "1"})


def _is_held_by(client: Client, instance: Instance) -> bool:
    return (client.instance, client.instance_since) == (instance.id, instance.since)


def _is_free(client: Client, now: datetime) -> bool:
    return not client.instance or client.last_seen is None or client.last_seen <= now - settings.FL_ONLINE


def _succeeds(client: Client, instance: Instance) -> bool:
    """A later start in the same place: its folder's lock proves that the earlier process is dead."""
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
