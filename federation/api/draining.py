"""A process that was told to end begins nothing new: held polls are answered, and what is under way may finish."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Draining:
    def __init__(self) -> None:
        self.begun = False
        self._held: set[asyncio.Future[Any]] = set()

    @contextmanager
    def ends(self, poll: asyncio.Future[Any]) -> Iterator[None]:
        """Within this block the poll is cancelled when the process is told to end."""
        self._held.add(poll)
        if self.begun:
            poll.cancel()
        try:
            yield
        finally:
            self._held.discard(poll)

    def begin(self) -> None:
        self.begun = True
        for poll in self._held:
            poll.cancel()


draining = Draining()
