"""The gate: an ASGI application around the whole site. It checks a request before it keeps a byte of the body.

In this order: the length of the address, the host, the caller's number of requests, and for a request with a body the
route's limit, the declared length and the token. Then it reads the body, with limits of size and time; some routes
read it in pieces by themselves. A request without a body, the usual case, costs a few dict look-ups.
"""

from __future__ import annotations

import math
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from federation import addresses
from federation.api import limits
from federation.api.auth import look_at
from federation.api.head import Head
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

BURST_SECONDS = 20  # a quiet caller may make the requests of so many seconds at once
LOOPBACK_FACTOR = 10  # programs on the same machine may make more requests
FAILURES = frozenset((400, 401, 403, 404, 405, 408, 413, 414, 422))
FAILURE_COST = 9  # how many more requests a stranger's failure counts as
SIGN_INS = 0.5, 30  # a second and at once, from one address: each costs a third of a CPU second
AT_A_TIME = {"client": 16, "user": 256}  # requests in progress
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
        self._hosts: set[bytes] = set()  # checked and ours

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
        body = Body.of(scope, headers, receive, self._held)
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
            raise TooLong(f"Use at most {limits.MOST_PATH} bytes of path and {limits.MOST_QUERY} of query.")
        host = headers.get(b"host")
        if host is not None and host not in self._hosts and scope["path"] not in HEALTH:
            hosts.check(host.decode("latin-1"))
            if len(self._hosts) < MOST_HOSTS:
                self._hosts.add(host)
        if len(headers) < len(scope["headers"]) and sum(name == b"host" for name, _ in scope["headers"]) > 1:
            raise Refused("The header Host was sent twice.")
        if b"transfer-encoding" in headers and b"content-length" in headers:
            raise Refused("Send either Transfer-Encoding or Content-Length, not both.")

    def _check_rate(self, scope: Scope, caller: Caller) -> None:
        """Raises TooMany after too many requests. Strangers are counted by address."""
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
        """Read the body, unless the route reads it in pieces and checks the caller first."""
        limit = limits.of(scope["method"], scope["path"])
        if limit.streams:
            scope["fl.take"] = body.take
            return
        if body.length is not None and body.length > limit.known:
            raise too_large(limit.known)
        if caller.who is None and (caller.credential or not limit.strangers):
            await _know(scope, caller, must=not limit.strangers)
        most = limit.strangers if caller.who is None else limit.known
        if body.length is not None and body.length > most:
            raise too_large(most)
        await body.read(most, known=caller.who is not None)
        scope["fl.take"] = body.hand_over

    # ---- during the answer and afterwards

    async def _pass_on(self, who: Who | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application and count a known caller's requests in progress. Raises TooMany."""
        if who is None:
            await self.inner(scope, receive, send)
            return
        under_way, most = self._under_way, AT_A_TIME[who[0]]
        count = under_way.get(who, 0)
        if count >= most:
            raise TooMany(
                f"Too many of your requests are in progress: {most}. Try again in 1 s.", headers={"Retry-After": "1"}
            )
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
    """Look up the credential's owner. must: an invalid credential is refused."""
    try:
        await in_thread(look_at, Head.of(scope), must=must)
    except Refused:
        if must:
            raise
    except (DatabaseError, InterfaceError):
        if must:
            raise Unavailable(
                "The database does not answer now. Try again in 1 s.", headers={"Retry-After": "1"}
            ) from None
    caller.look_again()


def _too_many(wait: float) -> TooMany:
    seconds = max(1, math.ceil(wait))
    return TooMany(f"Too many requests. Try again in {seconds} s.", headers={"Retry-After": str(seconds)})
