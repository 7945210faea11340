"""daphne's websockets with a pace: nothing is written to a browser that does not read, or read from one that floods."""

from __future__ import annotations

from typing import Any

import daphne.server  # noqa: F401  first: it installs the reactor
from autobahn.util import encode_truncate
from daphne import ws_protocol

from flsite.pace import Paced

MOST_WAITING = 16  # messages that the application has not taken yet
TOO_MANY = 1008
MOST_REASON = 123  # bytes of UTF-8 in a close frame


class PacedWebSocket(Paced, ws_protocol.WebSocketProtocol):
    """A websocket that knows when its socket is full."""

    def onOpen(self) -> None:
        self.transport.unregisterProducer()  # the HTTP channel, which is done
        self.transport.registerProducer(self, True)
        super().onOpen()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self.application_queue.qsize() >= MOST_WAITING:
            self.end(TOO_MANY, "Too many messages at once.")
        else:
            super().onMessage(payload, isBinary)

    def end(self, code: int, reason: str) -> None:
        """Close it, with any code of RFC 6455, section 7.4: autobahn's `sendClose` refuses those of servers."""
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(code=code, reasonUtf8=encode_truncate(reason, MOST_REASON) if reason else None)

    def handle_reply(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.close" and self.state != self.STATE_CONNECTING:
            self.end(message.get("code") or 1000, message.get("reason") or "")
        else:
            super().handle_reply(message)
