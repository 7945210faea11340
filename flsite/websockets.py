"""daphne's websockets with a pace: a browser that does not read is not written to, one that chatters is not heard."""

from __future__ import annotations

import asyncio
from typing import Any

import daphne.server  # noqa: F401  first: it installs the reactor
from daphne import ws_protocol

MOST_ASKED_BYTES = 4 << 10  # of one message of a browser, which only ever says what it saw last
MOST_WAITING = 16  # messages that the application has not taken yet
CHATTERS = 1008


class PacedWebSocket(ws_protocol.WebSocketProtocol):
    """A websocket that is a Twisted producer: it is told when the socket is full and when it is not."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.writable = asyncio.Event()
        self.writable.set()

    def onOpen(self) -> None:
        self.transport.unregisterProducer()  # the HTTP channel, which has nothing more to say
        self.transport.registerProducer(self, True)
        super().onOpen()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self.application_queue.qsize() >= MOST_WAITING:
            self.sendClose(code=CHATTERS, reason="Too many messages at once.")
        else:
            super().onMessage(payload, isBinary)

    def handle_reply(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.close" and self.state != self.STATE_CONNECTING:
            self.sendClose(code=message.get("code") or 1000, reason=message.get("reason") or None)
        else:
            super().handle_reply(message)

    def pauseProducing(self) -> None:
        self.writable.clear()

    def resumeProducing(self) -> None:
        self.writable.set()

    def stopProducing(self) -> None:
        self.writable.set()

    def connectionLost(self, reason: Any) -> None:
        self.writable.set()
        super().connectionLost(reason)
