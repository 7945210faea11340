"""Who may still continue: the right of a caller is checked again while something of theirs is open."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TypeVar

from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.utils.crypto import constant_time_compare

from federation.errors import Forbidden, Refused, Unauthorized
from federation.models import Client
from federation.services import apikeys

T = TypeVar("T")
AT_ONCE = 500  # in one query


@dataclass(frozen=True, slots=True)
class Agent:
    """A client, by the token that it used."""

    client_id: int
    token_hash: str


@dataclass(frozen=True, slots=True)
class Script:
    """An operator's script, by its API key."""

    key_hash: str


@dataclass(frozen=True, slots=True)
class Browser:
    """A signed-in browser, by its session."""

    session_key: str


Principal = Agent | Script | Browser


def withdrawn(principals: Collection[Principal], *, now: datetime) -> dict[Principal, Refused]:
    """Those who may not continue, each with the refusal. One query per kind, and one more for browsers."""
    found: dict[Principal, Refused] = {}
    for agents in _parts([one for one in principals if isinstance(one, Agent)]):
        found |= _agents(agents)
    for scripts in _parts([one for one in principals if isinstance(one, Script)]):
        found |= _scripts(scripts, now)
    for browsers in _parts([one for one in principals if isinstance(one, Browser)]):
        found |= _browsers(browsers, now)
    return found


def _parts(values: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(values), AT_ONCE):
        yield values[start : start + AT_ONCE]


def _agents(agents: Sequence[Agent]) -> dict[Principal, Refused]:
    enrolled = Client.objects.enrolled().filter(pk__in=[one.client_id for one in agents]).order_by()
    known = {(pk, token): (name, on) for pk, token, name, on in enrolled.values_list("pk", "token_hash", *_AGENT)}
    found: dict[Principal, Refused] = {}
    for agent in agents:
        name, enabled = known.get((agent.client_id, agent.token_hash), ("", False))
        if not name:
            found[agent] = Unauthorized(
                "This token is no longer valid: its client was removed, or the token was replaced."
            )
        elif not enabled:
            found[agent] = Forbidden(f"{name} was disabled. An operator can enable it again; the token stays valid.")
    return found


_AGENT = ("name", "enabled")


def _scripts(scripts: Sequence[Script], now: datetime) -> dict[Principal, Refused]:
    usable = apikeys.usable(now).filter(key_hash__in=[one.key_hash for one in scripts]).order_by()
    good = set(usable.values_list("key_hash", flat=True))
    refusal = Unauthorized("This API key was revoked or has expired, or its user may no longer sign in.")
    return {one: refusal for one in scripts if one.key_hash not in good}


def _browsers(browsers: Sequence[Browser], now: datetime) -> dict[Principal, Refused]:
    sessions = SessionStore.get_model_class().objects.filter(
        session_key__in=[one.session_key for one in browsers], expire_date__gt=now
    )
    signed_in = {key: _identity(data) for key, data in sessions.values_list("session_key", "session_data")}
    users = get_user_model().objects.filter(is_active=True, pk__in={pk for pk, _ in signed_in.values() if pk})
    active = {str(user.pk): user for user in users}
    refusal = Unauthorized("You are signed out.")
    return {one: refusal for one in browsers if not _is_good(*signed_in.get(one.session_key, ("", "")), active)}


@lru_cache(2048)  # a session rarely changes, and reading it checks its signature
def _identity(session_data: str) -> tuple[str, str]:
    """The user of a session, and the mark of the password at sign-in."""
    content = SessionStore().decode(session_data)
    return str(content.get(SESSION_KEY, "")), str(content.get(HASH_SESSION_KEY, ""))


def _is_good(user_id: str, mark: str, active: dict[str, User]) -> bool:
    user = active.get(user_id)
    if user is None:
        return False
    marks = (user.get_session_auth_hash(), *user.get_session_auth_fallback_hash())
    return any(constant_time_compare(mark, one) for one in marks)


def require_standing(before: Client, found: Client) -> None:
    """Refuse a call whose client was disabled, removed or given another token since it began.

    before: the client when the call began; found: the client now, with `token_hash` and `enabled`. Raises
    Unauthorized or Forbidden.
    """
    if found.token_hash != before.token_hash:
        raise Unauthorized(f"The token of {before.name} was revoked during this call.")
    refuse_disabled(found)


def refuse_disabled(client: Client) -> None:
    """Raises Forbidden for a disabled client."""
    if not client.enabled:
        raise Forbidden(f"{client.name} is disabled. An operator can enable it again; the token stays valid.")
