"""Turns for Django, which needs a thread per request. Strangers get few, so that others find one free."""

from __future__ import annotations

import asyncio
from typing import Any

from federation.api.raw import Receive, Scope, Send
from federation.errors import Unavailable
from flsite.gate.answers import Answer

OF_STRANGERS, OF_OTHERS = 8, 48  # at a time
LONGEST_LINE = 256  # strangers who wait


class Turns:
    """Lets requests in by turns. A request with `scope["fl.who"]` is no stranger's."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self._strangers, self._others = asyncio.Semaphore(OF_STRANGERS), asyncio.Semaphore(OF_OTHERS)
        self._waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("fl.who"):
            async with self._others:
                await self.inner(scope, receive, send)
        elif self._waiting >= LONGEST_LINE:
            later = Unavailable("Too many requests are waiting. Try again in 2 s.", headers={"Retry-After": "2"})
            await Answer(scope, send).refuse(later)
        else:
            await self._in_line(scope, receive, send)

    async def _in_line(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._waiting += 1
        try:
            await self._strangers.acquire()
        finally:
            self._waiting -= 1
        try:
            await self.inner(scope, receive, send)
        finally:
            self._strangers.release()
