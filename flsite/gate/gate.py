"""The gate: an ASGI application around the whole site that looks at a request before a byte of its body is kept.

In this order: the length of the address, the host, how many requests the caller made, and for a request with a body
the route's limit, the declared length and the token. Then the body is taken in, bounded in bytes and time, but for
routes that read it in pieces by themselves. What needs no body, which is most, costs a few dict look-ups.
"""

from __future__ import annotations

import math
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from federation import addresses
from federation.api import limits
from federation.api.auth import look_at
from federation.api.raw import Disconnected, Receive, Scope, Send
from federation.api.seen import Who, seen
from federation.api.threads import in_thread
from federation.errors import Refused, TooMany, Unavailable
from flsite import hosts
from flsite.gate import callers
from flsite.gate.answers import HEALTH, Answer
from flsite.gate.bodies import Body, Held, too_large
from flsite.gate.buckets import Buckets
from flsite.gate.callers import Caller

BURST_SECONDS = 20  # a caller that was quiet may make so many seconds' requests at once
LOOPBACK_FACTOR = 10  # programs of the same machine are trusted further
FAILURES = frozenset((400, 401, 403, 404, 405, 408, 413, 414, 422))
FAILURE_COST = 9  # further requests that a stranger's failure counts as
SIGN_INS = 0.5, 30  # a second, and at once, from one address: each costs a third of a second of a CPU
AT_A_TIME = {"client": 16, "user": 256}  # requests under way
MOST_HOSTS = 100
SIGN_IN_PATHS = ("/sign-in/", "/admin/login/")


class TooLong(Refused):
    status = 414
    title = "The address is too long"


class Gate:
    def __init__(self, inner: Any) -> None:
        self.inner = inner
        rate = settings.FL_REQUESTS_PER_ADDRESS
        self._strangers = Buckets(rate, BURST_SECONDS * rate)
        self._neighbours = Buckets(rate * LOOPBACK_FACTOR, BURST_SECONDS * rate * LOOPBACK_FACTOR)
        self._known = Buckets(settings.FL_REQUESTS_PER_CLIENT, BURST_SECONDS * settings.FL_REQUESTS_PER_CLIENT)
        self._sign_ins = Buckets(*SIGN_INS)
        self._held = Held()
        self._under_way: dict[Who, int] = {}
        self._hosts: set[bytes] = set()  # that were looked at and are ours

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self.inner(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        answer, caller = Answer(scope, send), callers.of(scope, headers)
        if connection := scope.get("fl.connection"):
            connection.credential = caller.credential
        body = Body.of(headers, receive, self._held)
        answer.body = body
        try:
            self._check_head(scope, headers)
            self._check_rate(scope, caller)
            if body is not None:
                await self._take_in(scope, body, caller)
                receive = body.receive
            elif caller.who is None and caller.credential and b"cookie" in headers:
                await _know(scope, caller)
            scope["fl.who"] = caller.who
            await self._pass_on(caller.who, scope, receive, answer.send)
        except Refused as refusal:
            await answer.refuse(refusal)
        except Disconnected:
            pass
        finally:
            if body is not None:
                body.release()
            self._learn(caller, answer.status)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check_rate(scope | {"method": "GET"}, callers.of(scope, dict(scope["headers"])))
        except Refused:
            await receive()
            await send({"type": "websocket.close", "code": 1013})
        else:
            await self.inner(scope, receive, send)

    # ---- before anything is read

    def _check_head(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        if len(scope["path"]) > limits.MOST_PATH or len(scope["query_string"]) > limits.MOST_QUERY:
            raise TooLong(f"A path may have {limits.MOST_PATH} bytes and a query {limits.MOST_QUERY}.")
        host = headers.get(b"host")
        if host is not None and host not in self._hosts and scope["path"] not in HEALTH:
            hosts.check(host.decode("latin-1"))
            if len(self._hosts) < MOST_HOSTS:
                self._hosts.add(host)
        if len(headers) < len(scope["headers"]) and sum(name == b"host" for name, _ in scope["headers"]) > 1:
            raise Refused("The header Host was sent twice.")
        if b"transfer-encoding" in headers and b"content-length" in headers:
            raise Refused("Transfer-Encoding and Content-Length exclude each other.")

    def _check_rate(self, scope: Scope, caller: Caller) -> None:
        """Raises TooMany for a caller that made too many requests, by client and key or else by address."""
        known = caller.who is not None
        wait = self._known.take(caller.who) if known else self._by_address(caller).take(caller.address)
        if not wait and scope["method"] == "POST" and scope["path"] in SIGN_IN_PATHS:
            wait = self._sign_ins.take(caller.address)
        if wait:
            raise _too_many(wait)

    def _by_address(self, caller: Caller) -> Buckets:
        return self._neighbours if addresses.is_loopback(caller.address) else self._strangers

    # ---- the body

    async def _take_in(self, scope: Scope, body: Body, caller: Caller) -> None:
        """Take the body in, but for a route that reads it in pieces and looks at its caller before it does."""
        limit = limits.of(scope["method"], scope["path"])
        if limit.streams:
            return
        if body.length is not None and body.length > limit.known:
            raise too_large(limit.known)
        if caller.who is None and (caller.credential or not limit.strangers):
            await _know(scope, caller, must=not limit.strangers)
        most = limit.strangers if caller.who is None else limit.known
        if body.length is not None and body.length > most:
            raise too_large(most)
        await body.read(most, known=caller.who is not None, whole=scope.get("fl.whole"))

    # ---- while it is answered and afterwards

    async def _pass_on(self, who: Who | None, scope: Scope, receive: Receive, send: Send) -> None:
        """To the application, counting what a known caller has under way. Raises TooMany."""
        if who is None:
            await self.inner(scope, receive, send)
            return
        under_way, most = self._under_way, AT_A_TIME[who[0]]
        count = under_way.get(who, 0)
        if count >= most:
            raise TooMany(f"{most} of your requests are under way; so many are allowed.", headers={"Retry-After": "1"})
        under_way[who] = count + 1
        try:
            await self.inner(scope, receive, send)
        finally:
            under_way[who] -= 1
            if not under_way[who]:
                del under_way[who]

    def _learn(self, caller: Caller, status: int) -> None:
        if status in (401, 403) and caller.credential:
            seen.forget(caller.credential)
        if caller.who is None and status in FAILURES:
            self._by_address(caller).charge(caller.address, FAILURE_COST)


async def _know(scope: Scope, caller: Caller, *, must: bool = False) -> None:
    """Look whom the caller's credential stands for. Raises what refuses it, where somebody must stand behind it."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    try:
        await in_thread(look_at, headers)
    except Refused:
        if must:
            raise
    except (DatabaseError, InterfaceError):
        if must:
            raise Unavailable("The database does not answer now; try again.", headers={"Retry-After": "1"}) from None
    caller.look_again()


def _too_many(wait: float) -> TooMany:
    seconds = max(1, math.ceil(wait))
    return TooMany(f"That were too many requests; come again in {seconds} s.", headers={"Retry-After": str(seconds)})
