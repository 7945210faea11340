"""Bodies that are read whole before the application runs, with limits of size and time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from federation.api.raw import Disconnected, Receive, Scope, Stalled
from federation.errors import TooLarge, Unavailable

PATIENCE_SECONDS = 30.0
LEAST_RATE = 4 << 10  # bytes a second after that
MOST_OF_STRANGERS, MOST_OF_ALL = 16 << 20, 256 << 20  # bytes in memory at a time
DRAINED_BYTES = 16 << 20  # of a body that the server discards after a refusal, to keep the connection
MOST_DIGITS = 18


class Held:
    """How many bytes of bodies are in memory."""

    def __init__(self) -> None:
        self.strangers = self.all = 0

    def add(self, size: int, *, known: bool) -> None:
        """Count bytes. Raises Unavailable if there would be too many."""
        if (not known and self.strangers + size > MOST_OF_STRANGERS) or self.all + size > MOST_OF_ALL:
            later = {"Retry-After": "2"}
            raise Unavailable("The server is reading too many requests. Try again in 2 s.", headers=later)
        self.all += size
        self.strangers += 0 if known else size

    def release(self, size: int, *, known: bool) -> None:
        self.all -= size
        self.strangers -= 0 if known else size


class Body:
    """One request's body, as ASGI messages.

    length: as declared, or None. whole: the server has delivered all of it. at_once: of the server, returns the body
    if all of it has arrived, as is usual.
    """

    def __init__(
        self,
        receive: Receive,
        held: Held,
        length: int | None,
        *,
        kept: bool,
        at_once: Callable[[], bytes | None] | None = None,
    ) -> None:
        self.length, self.whole = length, False
        self.ends_connection = not kept or length is None or length > DRAINED_BYTES
        self._server, self._held, self._at_once = receive, held, at_once
        self._size, self._known = 0, False
        self._message: dict[str, Any] | None = None
        self._until = 0.0

    @classmethod
    def of(cls, scope: Scope, headers: dict[bytes, bytes], receive: Receive, held: Held) -> Body | None:
        """None if there is no body, as in most requests."""
        if b"transfer-encoding" in headers:
            length = None
        else:
            declared = headers.get(b"content-length", b"0")
            length = int(declared) if declared.isdigit() and len(declared) <= MOST_DIGITS else None
        if length == 0:
            return None
        return cls(receive, held, length, kept=b"expect" not in headers, at_once=scope.get("fl.whole"))

    def take(self) -> bytes | None:
        """The body, if all of it has arrived and nobody took it."""
        data = self._at_once() if self._at_once else None
        self.whole = self.whole or data is not None
        return data

    async def read(self, most: int, *, known: bool) -> None:
        """Read it. Raises TooLarge, Stalled if it comes too slowly, or Disconnected."""
        self._known = known
        data = self.take()  # needs no clock
        if data is None:
            data = await self._gather(most)
        else:
            self._count(len(data), most)
        self._message = {"type": "http.request", "body": data, "more_body": False}

    def _count(self, size: int, most: int) -> None:
        self._held.add(size, known=self._known)
        self._size += size
        if self._size > most:
            raise too_large(most)

    async def _gather(self, most: int) -> bytes:
        self._until = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        pieces: list[bytes] = []
        while not self.whole:
            piece, more = await self._next()
            self._count(len(piece), most)
            pieces.append(piece)
            self.whole = not more
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _next(self) -> tuple[bytes, bool]:
        try:
            async with asyncio.timeout_at(self._until + self._size / LEAST_RATE):
                message = await self._server()
        except TimeoutError:
            raise Stalled(f"The body arrives too slowly: less than {LEAST_RATE} bytes a second.") from None
        if message["type"] == "http.disconnect":
            raise Disconnected
        return message.get("body", b""), message.get("more_body", False)

    def hand_over(self) -> bytes | None:
        """The body that was read, to an application that asks for all of it at once."""
        message, self._message = self._message, None
        return None if message is None else message["body"]

    async def receive(self) -> dict[str, Any]:
        """For the application: first the body that was read, then what the server says."""
        if self._message is not None:
            message, self._message = self._message, None
            return message
        message = await self._server()
        self.whole = self.whole or not message.get("more_body", False)
        return message

    def release(self) -> None:
        self._held.release(self._size, known=self._known)
        self._size = 0


def too_large(most: int) -> TooLarge:
    return TooLarge(f"The body is too large. This address accepts {most} bytes from you.")
