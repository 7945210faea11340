"""A Twisted producer that an asyncio task can wait for."""

from __future__ import annotations

import asyncio
from typing import Any


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
