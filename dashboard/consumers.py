"""Websockets: a browser says what it saw last, then gets everything after it, in order, each event once.

With `"confirm": true` an empty message follows once it has all there was: a page then knows that it is up to date, and
that a connection on which nothing comes is still there.
"""

from __future__ import annotations

import asyncio
import json

from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import DatabaseError, InterfaceError

from federation.api.threads import in_thread
from federation.feed import SERVER_LOG, Batch, Subscription, feed, read
from federation.models import TrainingSession
from federation.services import apikeys

NOTHING = '{"events": []}'


class LogConsumer(AsyncWebsocketConsumer):
    """Follows one log. Signed-in users of the same origin, or an API key, may listen."""

    following: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        if not await self._may_listen() or not await self._exists():
            await self.close()
            return
        await self.accept()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        asked = _asked(text_data)
        if asked is None:
            await self.close(code=4400, reason='Send {"after": <last seq seen>}.')
            return
        await self._stop()
        self.following = asyncio.create_task(self._follow(*asked))

    async def disconnect(self, code: int) -> None:
        await self._stop()

    @property
    def log_id(self) -> int:
        return int(self.scope["url_route"]["kwargs"].get("session_id", SERVER_LOG))

    async def _follow(self, seen: int, confirm: bool) -> None:
        try:
            with feed.watch(self.log_id) as subscription:  # join first, then read what was missed
                seen = await self._replay(seen)
                if confirm:
                    await self.send(NOTHING)
                while True:
                    seen = await self._pass_on(await subscription.queue.get(), seen, subscription)
        except (DatabaseError, InterfaceError):
            await self.close(code=1013, reason="The database does not answer now; try again.")

    async def _pass_on(self, batch: Batch, seen: int, subscription: Subscription) -> int:
        if batch.last <= seen:
            return seen  # replayed already
        if batch.first == seen + 1:
            await self.send(batch.text)
            return batch.last
        return await self._replay(seen)  # part of it is known, or the queue had overflowed

    async def _replay(self, seen: int) -> int:
        while batch := await in_thread(read, self.log_id, seen):
            await self.send(batch.text)
            seen = batch.last
        return seen

    async def _stop(self) -> None:
        if self.following:
            self.following.cancel()
            await asyncio.gather(self.following, return_exceptions=True)

    async def _may_listen(self) -> bool:
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in self.scope["headers"]}
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return await in_thread(apikeys.user_of, key) is not None
        same_origin = headers.get("origin", "").partition("://")[2] == headers.get("host")
        return same_origin and bool(self.scope["user"].is_authenticated)

    async def _exists(self) -> bool:
        return self.log_id == SERVER_LOG or await in_thread(TrainingSession.objects.filter(pk=self.log_id).exists)


def _asked(text: str | None) -> tuple[int, bool] | None:
    """`{"after": n}` as (n, whether `confirm` is true), or None for anything else."""
    try:
        message = json.loads(text or "")
        after, confirm = message["after"], message.get("confirm") is True
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return (after, confirm) if isinstance(after, int) and not isinstance(after, bool) and after >= 0 else None
