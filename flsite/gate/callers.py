"""Who calls: known by a credential that was valid a moment ago, else by the address."""

from __future__ import annotations

import re
from dataclasses import dataclass

from django.conf import settings

from federation import addresses
from federation.api.raw import Scope
from federation.api.seen import Who, seen

BEHIND_PROXY: bool = settings.FL_BEHIND_PROXY  # read once: each request asks for it
MOST_CHARACTERS = 64  # of a peer that is no address
COOKIE = re.compile(rf"(?:^|;\s*){re.escape(settings.SESSION_COOKIE_NAME)}=([^;\s]+)".encode())


@dataclass(slots=True)
class Caller:
    """credential: as sent, valid or not. who: its owner, if it was valid a moment ago."""

    address: str
    credential: str
    who: Who | None

    def look_again(self) -> None:
        self.who = seen.who(self.credential)


def of(scope: Scope, headers: dict[bytes, bytes]) -> Caller:
    credential = _credential(headers)
    return Caller(address(scope, headers), credential, seen.who(credential) if credential else None)


def _credential(headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"authorization")
    if given is not None:
        scheme, _, token = given.partition(b" ")
        return token.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""
    cookies = headers.get(b"cookie")
    found = COOKIE.search(cookies) if cookies else None
    return found[1].decode("latin-1") if found else ""


def address(scope: Scope, headers: dict[bytes, bytes]) -> str:
    """The peer, or behind a proxy the last hop in X-Forwarded-For. For IPv6 its network: one site has all of that."""
    peer = scope.get("client")
    found = peer[0] if peer else ""
    if BEHIND_PROXY:
        told = headers.get(b"x-forwarded-for", b"").rpartition(b",")[2].strip().decode("latin-1")
        found = told or found
    return addresses.network(found) or found[:MOST_CHARACTERS]
