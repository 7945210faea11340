"""daphne with two changes that decide its memory and speed with weights.

Requests are read in pieces of 64 KiB instead of 8, and `send` waits until the socket can take more, where
stock daphne would hold a whole answer in memory for every slow reader.
"""

from __future__ import annotations

import asyncio
from typing import Any

import daphne.server  # first: it installs the reactor
from daphne import http_protocol
from twisted.internet.error import CannotListenError


class PacedRequest(http_protocol.WebRequest):
    """A request whose answer is a Twisted producer: it is told when the socket is full and when it is not."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.writable = asyncio.Event()
        self.writable.set()
        self._paced = False

    def handle_reply(self, message: dict[str, Any]) -> None:
        if message.get("more_body") and not self._paced and self.channel is not None:
            self._paced = True
            self.registerProducer(self, True)
        super().handle_reply(message)

    def pauseProducing(self) -> None:
        self.writable.clear()

    def resumeProducing(self) -> None:
        self.writable.set()

    def stopProducing(self) -> None:
        self.writable.set()

    def finish(self) -> None:
        if self._paced:
            self._paced = False
            self.unregisterProducer()  # else the request would never be freed
        self.writable.set()
        super().finish()

    def connectionLost(self, reason: Any) -> None:
        self.writable.set()
        super().connectionLost(reason)


http_protocol.WebRequest = PacedRequest  # the one place where daphne's factory looks it up


class Server(daphne.server.Server):
    """`failure` is a sentence where the server could not listen."""

    failure = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"request_buffer_size": 64 << 10} | kwargs)

    async def handle_reply(self, protocol: Any, message: dict[str, Any]) -> None:
        await super().handle_reply(protocol, message)
        if message.get("more_body") and isinstance(protocol, PacedRequest):
            await protocol.writable.wait()

    def listen_error(self, failure: Any) -> None:
        error = failure.value
        reason = error.socketError.strerror if isinstance(error, CannotListenError) else failure.getErrorMessage()
        where = f"{error.interface}:{error.port}" if isinstance(error, CannotListenError) else "the address"
        self.failure = f"The server cannot listen on {where}: {reason}. Choose another port."
        self.stop()
