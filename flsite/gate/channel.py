"""One connection as Twisted parses it, with time limits for the head, the answer and what is discarded."""

from __future__ import annotations

import time
from enum import Enum
from typing import TYPE_CHECKING, Any

from django.conf import settings
from twisted.web.http import HTTPChannel

from federation.api.seen import seen
from flsite.gate.bodies import DRAINED_BYTES

if TYPE_CHECKING:
    from flsite.gate.connections import Connections

LAST_BYTES = 4 << 20  # discarded after an answer that ends the connection, so that the answer arrives
QUIET_SECONDS = 2.0  # without a byte to discard
DRAIN_SECONDS = 30.0  # in all
STRANGER_SECONDS = 300.0  # for a stranger's request and its answer
BAD_REQUEST = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\nX-Content-Type-Options: nosniff\r\n\r\n"
)


class Phase(Enum):
    NEW = "nothing has arrived"
    HEAD = "a head arrives"
    BUSY = "a body arrives, or the request is answered"
    DRAINING = "the request is answered, and the rest of its body is discarded"
    IDLE = "the next request has not begun"


class Channel(HTTPChannel):
    """`look` is called every second. credential: of the last request, which separates strangers from known callers."""

    maxHeaders = 100

    def __init__(self, connections: Connections) -> None:
        super().__init__()
        self.connections = connections
        self.phase, self.since = Phase.NEW, time.monotonic()
        self.credential = ""
        self.address = ""
        self.expects = False  # the caller waits for 100 Continue before it sends its body
        self._trickle: Any = None  # what was unsent at the last look
        self._trickle_since = 0.0
        self._drained = 0
        self._drained_at = 0.0
        self._last = False

    # ---- its phases

    def connectionMade(self) -> None:
        super().connectionMade()
        self.connections.add(self)

    def connectionLost(self, reason: Any) -> None:
        self.connections.discard(self)
        super().connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        if self.phase is Phase.IDLE or self.phase is Phase.NEW:
            self.phase, self.since = Phase.HEAD, time.monotonic()
        super().dataReceived(data)

    def allHeadersReceived(self) -> None:
        self.phase, self.since, self.expects = Phase.BUSY, time.monotonic(), False
        if self.requests[-1].requestHeaders.hasHeader(b"Expect"):
            self._note_expectation()
        super().allHeadersReceived()

    def requestDone(self, request: Any) -> None:
        pending = any(self._dataBuffer)
        self.phase, self.since = (Phase.HEAD if pending else Phase.IDLE), time.monotonic()
        super().requestDone(request)

    # ---- 100 Continue: sent when the application asks for the body, not if it refuses first

    def _note_expectation(self) -> None:
        given = self.requests[-1].requestHeaders.getRawHeaders(b"Expect", [b""])[0]
        self.expects = given.lower() == b"100-continue" and self._version == b"HTTP/1.1"

    def _send100Continue(self) -> None:
        """Not yet."""

    def send_continue(self) -> None:
        self.expects = False
        super()._send100Continue()

    # ---- the rest of a body that nobody reads

    def drain(self, request: Any, *, last: bool) -> None:
        """The answer is sent before the body is complete. last: the connection ends once the answer has arrived."""
        self.phase, self.since = Phase.DRAINING, time.monotonic()
        self._drained, self._drained_at, self._last = 0, self.since, last
        if last:
            self.persistent = False
            self.transport.loseWriteConnection()

    def drained(self, size: int) -> None:
        self._drained += size
        self._drained_at = time.monotonic()
        if self._drained > (LAST_BYTES if self._last else DRAINED_BYTES):
            self.transport.abortConnection()

    # ---- the clock

    def look(self, now: float) -> None:
        """End it if it takes too long."""
        if self._is_over(now):
            self.transport.abortConnection()

    def _is_over(self, now: float) -> bool:
        lasted = now - self.since
        if self.phase is Phase.BUSY:
            return self._reader_stands_still(now) or (lasted > STRANGER_SECONDS and not self.is_known())
        if self.phase is Phase.IDLE:
            return lasted > settings.FL_IDLE_SECONDS
        if self.phase is Phase.DRAINING:
            return lasted > DRAIN_SECONDS or now - self._drained_at > QUIET_SECONDS
        return lasted > settings.FL_HEAD_SECONDS

    def _reader_stands_still(self, now: float) -> bool:
        waits, mark = self.requests[0].unsent if self.requests else (False, None)
        if not waits or mark != self._trickle:
            self._trickle, self._trickle_since = mark, now
            return False
        return now - self._trickle_since > settings.FL_STALL_SECONDS

    def is_known(self) -> bool:
        return bool(self.credential) and seen.who(self.credential) is not None

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.transport.write(BAD_REQUEST)
        self.loseConnection()
