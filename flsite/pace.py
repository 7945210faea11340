"""A Twisted producer that an asyncio task can wait for."""

from __future__ import annotations

import asyncio
from typing import Any


def unsent_bytes(transport: Any) -> int:
    """Of what was written to a connection of Twisted's, how much the kernel has not taken yet."""
    waiting = len(getattr(transport, "dataBuffer", b"")) - getattr(transport, "offset", 0)
    return waiting + int(getattr(transport, "_tempDataLen", 0))


class Paced:
    """Knows whether the socket takes more: Twisted calls these methods. Put it before the protocol's own class."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.writable = asyncio.Event()
        self.writable.set()

    def pauseProducing(self) -> None:
        self.writable.clear()

    def resumeProducing(self) -> None:
        self.writable.set()

    def stopProducing(self) -> None:
        self.writable.set()

    def connectionLost(self, reason: Any) -> None:
        self.writable.set()
        super().connectionLost(reason)  # type: ignore[misc]
