"""Raw ASGI: the few routes that Django's request cycle would slow down or hold in memory."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError

from federation.api import permits, problems
from federation.api.head import Head
from federation.errors import Refused, TooLarge, Unavailable
from federation.services.standing import Principal

log = logging.getLogger(__name__)


Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = Mapping[str, str]


SENDFILE = "http.response.zerocopysend"  # an extension of ASGI

IN_FLIGHT = 2 << 20  # bytes that transfers of one kind together hold in memory at a time, about
MOST_AT_A_TIME, LEAST_AT_A_TIME = 256 << 10, 64 << 10
LEAST_RATE = 1 << 10  # bytes a second that a body brings in each FL_STALL_SECONDS, not counting what the server takes


def bytes_at_a_time(transfers: int) -> int:
    """How many bytes each of so many transfers moves at a time: many clients are to need little more than a few."""
    return max(LEAST_AT_A_TIME, min(MOST_AT_A_TIME, IN_FLIGHT // max(1, transfers)))


class Disconnected(Exception):
    """The caller hung up."""


class Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, **path: str) -> None:
        self.method: str = scope["method"]
        self.query: bytes = scope["query_string"]
        self.head = Head.of(scope)
        self.headers = self.head.headers
        self.path = path
        self.receive, self._send = receive, send
        self._take: Callable[[], bytes | None] | None = scope.get("fl.take")
        self.sends_files: bool = SENDFILE in scope.get("extensions", {})
        self.extra_headers: dict[str, str] = {}  # go with every answer, a refusal too
        self.began = False
        self.stalled = False  # nothing of the body, or too little, came for FL_STALL_SECONDS
        self._waited, self._came = 0.0, 0  # seconds for the body, and its bytes in that time

    async def answer(self, status: int, headers: Headers | None = None, body: bytes = b"") -> None:
        await self.begin(status, {"Content-Length": str(len(body))} | dict(headers or {}))
        await self.send(body, last=True)

    async def begin(self, status: int, headers: Headers) -> None:
        self.began = True
        pairs = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in (self.extra_headers | dict(headers)).items()]
        await self._send({"type": "http.response.start", "status": status, "headers": pairs})

    async def send(self, body: bytes, *, last: bool) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": not last})

    async def send_file(self, handle: int, offset: int, size: int, *, last: bool) -> None:
        """Bytes of an open file, which the server sends without our reading them. Only where it `sends_files`."""
        part = {"type": SENDFILE, "file": handle, "offset": offset, "count": size}
        await self._send(part | {"more_body": not last})

    @contextmanager
    def going_on_as(self, principal: Principal) -> Iterator[None]:
        """Within this block, a wait for the caller raises a refusal once the caller's right is revoked."""
        receive, send = self.receive, self._send
        with permits.held(principal) as permit:
            self.receive = lambda: permit.wait(receive)
            self._send = lambda message: permit.wait(send, message)
            try:
                yield
            finally:
                self.receive, self._send = receive, send

    async def refuse(self, refusal: Refused) -> None:
        """Answer with a refusal. An answer that has begun stays incomplete, and the server cuts it off."""
        if self.began:
            return
        headers = {"Content-Type": problems.CONTENT_TYPE} | refusal.headers
        if refusal.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        body = b"" if self.method == "HEAD" else problems.of(refusal)
        await self.answer(refusal.status, headers, body)

    async def chunk(self) -> tuple[bytes, bool]:
        """The next piece of the body, and whether more follows. Raises Disconnected, also where too little comes."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(settings.FL_STALL_SECONDS):
                message = await self.receive()
        except TimeoutError:
            self.stalled = True
            raise Disconnected from None
        if message["type"] == "http.disconnect":
            raise Disconnected
        data, more = message.get("body", b""), message.get("more_body", False)
        if more:
            self._keep_pace(time.monotonic() - began, len(data))
        return data, more

    def _keep_pace(self, waited: float, came: int) -> None:
        """A body of a byte now and then does not live for ever. Raises Disconnected."""
        self._waited, self._came = self._waited + waited, self._came + came
        if self._waited < settings.FL_STALL_SECONDS:
            return
        if self._came < self._waited * LEAST_RATE:
            self.stalled = True
            raise Disconnected
        self._waited, self._came = 0.0, 0

    def take_body(self) -> bytes | None:
        """The body, if all of it is here already."""
        return self._take() if self._take else None

    async def body(self, limit: int) -> bytes:
        """The whole body. Raises TooLarge beyond `limit` bytes."""
        whole = self.take_body()  # as a rule, without a turn of the loop
        if whole is not None and len(whole) > limit:
            raise TooLarge(f"The body is larger than {limit} bytes.")
        return await self._gather(limit) if whole is None else whole

    async def _gather(self, limit: int) -> bytes:
        pieces, size, more = [], 0, True
        while more:
            piece, more = await self.chunk()
            size += len(piece)
            if size > limit:
                raise TooLarge(f"The body is larger than {limit} bytes.")
            pieces.append(piece)
        return b"".join(pieces)


class Elsewhere(Exception):
    """Django answers this request."""


Handler = Callable[[Exchange], Awaitable[None]]


class NotAllowed(Refused):
    status = 405
    title = "Method not allowed"


class Stalled(Refused):
    status = 408
    title = "The body does not come"


class RawRoutes:
    """Sends a request to the first route whose pattern fits its path, and every other one to Django."""

    def __init__(self, routes: Mapping[str, Mapping[str, Handler]], otherwise: Callable[..., Awaitable[None]]) -> None:
        self.routes = [(re.compile(pattern), handlers) for pattern, handlers in routes.items()]
        self.otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for pattern, handlers in self.routes:
            if match := pattern.fullmatch(scope["path"]):
                try:
                    await self._serve(Exchange(scope, receive, send, **match.groupdict()), handlers)
                    return
                except Elsewhere:
                    break
        await self.otherwise(scope, receive, send)

    async def _serve(self, exchange: Exchange, handlers: Mapping[str, Handler]) -> None:
        try:
            handler = handlers.get(exchange.method)
            if handler is None:
                allowed = ", ".join(handlers)
                raise NotAllowed(f"{exchange.method} is not known here; use {allowed}.", headers={"Allow": allowed})
            await handler(exchange)
        except Elsewhere:
            raise
        except Disconnected:
            if exchange.stalled:
                pace = f"Less than {LEAST_RATE} bytes a second came for {settings.FL_STALL_SECONDS} s"
                stalled = Stalled(f"{pace}; go on from where the upload stands.", headers={"Connection": "close"})
                await exchange.refuse(stalled)
        except Refused as refusal:
            await exchange.refuse(refusal)
        except (DatabaseError, InterfaceError):
            log.exception("the database did not answer")
            if not exchange.began:
                later = Unavailable("The database does not answer now; try again.", headers={"Retry-After": "1"})
                await exchange.refuse(later)
        except Exception:
            log.exception("%s failed", exchange.method)
            if not exchange.began:
                body = problems.body(500, "The server failed to answer this; its log says why.")
                await exchange.answer(500, {"Content-Type": problems.CONTENT_TYPE}, body)
