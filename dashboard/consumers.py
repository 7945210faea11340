"""Websockets: a browser says what it saw last, then gets everything after it, in order, each event once.

With `"confirm": true` an empty message follows once it has all there was: a page then knows that it is up to date, and
that a silent connection still works. Missed events are read as fast as the browser takes them. A browser that takes
nothing, says nothing or has lost its right is disconnected.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter, defaultdict, deque
from contextlib import suppress

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.db import DatabaseError, InterfaceError

from federation import tokens
from federation.api import permits
from federation.api.auth import is_key
from federation.api.head import Head
from federation.api.limits import MOST_MESSAGE
from federation.api.raw import Receive, Scope, Send
from federation.api.threads import in_thread, sparingly
from federation.errors import Refused
from federation.feed import SERVER_LOG, Subscription, feed, read, recent
from federation.models import TrainingSession
from federation.recent import Batch
from federation.services.standing import Browser, Principal, Script

NOTHING = '{"events": []}'
LARGEST_SEQ = 2**63 - 1
MOST_ASKED = 60  # times a minute that a browser may say what it saw last
FIRST_SECONDS = 10.0  # after which a browser must have said it
LOOKS = 10  # how often it is looked, in the time that a browser may read nothing, whether it reads
AWAY_CODE, TOO_MANY_CODE, INVALID_CODE = 1013, 4429, 4400
REVOKED_CODE, SILENT_CODE = 4401, 4408

_open: Counter[object] = Counter()  # sockets of each user and each API key
_turns: defaultdict[object, asyncio.Lock] = defaultdict(asyncio.Lock)  # of an owner's sockets, to read what they missed


class _AskedAnew(Exception):
    """The browser said meanwhile what it saw last."""

    def __init__(self, asked: tuple[int, bool]) -> None:
        self.asked = asked


class LogConsumer(AsyncWebsocketConsumer):
    """Follows one log. Signed-in users of the same origin, or an API key, may listen."""

    following: asyncio.Task[None] | None = None
    staying: asyncio.Task[None] | None = None
    owner: object = None
    saying_since = math.inf  # when a message was begun that the socket does not take yet
    asked: tuple[int, bool] | None = None  # what the browser said while such a message was on its way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._forget()

    async def connect(self) -> None:
        principal = await self._listener()
        if principal is None or not await self._exists():
            await self.close()
            return
        await self.accept()
        if why := _no_room(self._owner_of(principal)):
            await self.close(code=TOO_MANY_CODE, reason=why)
            return
        self.owner = self._owner_of(principal)
        _open[self.owner] += 1
        self.said, self.times = asyncio.Event(), deque[float](maxlen=MOST_ASKED)
        self.staying = asyncio.create_task(self._stay(principal))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self.owner is None:
            return
        asked = _asked(text_data)
        if asked is None:
            await self.close(code=INVALID_CODE, reason='Send {"after": <last seq seen>}.')
            return
        if self._asks_too_often():
            await self.close(code=TOO_MANY_CODE, reason=f"Too many messages. Send at most {MOST_ASKED} a minute.")
            return
        self.said.set()
        if math.isinf(self.saying_since):
            await _end(self.following)
            self.following = asyncio.create_task(self._follow(*asked))
        else:  # whoever reads nothing is sent nothing more, however often it asks
            self.asked = asked

    async def disconnect(self, code: int) -> None:
        await _end(self.following)
        await _end(self.staying)

    def _forget(self) -> None:
        """Clean up, however the conversation ended."""
        for task in (self.following, self.staying):
            if task:
                task.cancel()
        if self.owner is not None:
            _open[self.owner] -= 1
            if not _open[self.owner]:
                del _open[self.owner]
                _turns.pop(self.owner, None)

    @property
    def log_id(self) -> int:
        return int(self.scope["url_route"]["kwargs"].get("session_id", SERVER_LOG))

    # ---- for how long

    async def _stay(self, principal: Principal) -> None:
        """End the conversation if the browser does not begin in time, stops reading or loses its right."""
        try:
            with permits.held(principal) as permit:
                async with asyncio.timeout(FIRST_SECONDS):
                    await permit.wait(self.said.wait)
                while time.monotonic() - self.saying_since < settings.FL_STALL_SECONDS:
                    await permit.wait(asyncio.sleep, settings.FL_STALL_SECONDS / LOOKS)
        except TimeoutError:
            await self.close(code=SILENT_CODE, reason=f"No message arrived within {FIRST_SECONDS:.0f} s.")
        except Refused as refusal:
            await _end(self.following)
            await self.close(code=REVOKED_CODE, reason=str(refusal))
        else:
            await _end(self.following)
            await self.close(code=SILENT_CODE, reason=f"The browser read nothing for {settings.FL_STALL_SECONDS} s.")

    def _asks_too_often(self) -> bool:
        now = time.monotonic()
        too_often = len(self.times) == MOST_ASKED and now - self.times[0] < 60
        self.times.append(now)
        return too_often

    # ---- what is said

    async def _follow(self, seen: int, confirm: bool) -> None:
        try:
            while True:
                try:
                    await self._follow_from(seen, confirm)
                except _AskedAnew as anew:
                    seen, confirm = anew.asked
        except (DatabaseError, InterfaceError):
            await self.close(code=AWAY_CODE, reason="The database does not answer now; try again.")

    async def _follow_from(self, seen: int, confirm: bool) -> None:
        with feed.watch(self.log_id) as subscription:  # join first, then read what was missed
            seen = await self._replay(seen)
            if confirm:
                await self._say(NOTHING)
            while True:
                seen = await self._pass_on(await subscription.queue.get(), seen, subscription)

    async def _pass_on(self, batch: Batch, seen: int, subscription: Subscription) -> int:
        if batch.last <= seen:
            return seen  # replayed already
        if batch.first == seen + 1:
            await self._say(batch.text)
            return batch.last
        return await self._replay(seen)  # part of it is known, or the queue had overflowed

    async def _replay(self, seen: int) -> int:
        while batch := await self._missed(seen):
            await self._say(batch.text)
            seen = batch.last
        return seen

    async def _missed(self, seen: int) -> Batch | None:
        """The next events that were missed: from memory what others had lately, else from the database.

        There sockets of one owner take turns: others wait for one of them at most.
        """
        if batch := recent.after(self.log_id, seen):
            return batch
        async with _turns[self.owner]:
            if batch := recent.after(self.log_id, seen):
                return batch
            if batch := await sparingly(read, self.log_id, seen):
                recent.keep(self.log_id, batch)
            return batch

    async def _say(self, text: str) -> None:
        """Returns once the socket has room again; `_stay` looks how long that takes. Raises _AskedAnew."""
        self.saying_since = time.monotonic()
        await self.send(text)
        self.saying_since = math.inf
        asked, self.asked = self.asked, None
        if asked is not None:
            raise _AskedAnew(asked)

    # ---- who listens

    async def _listener(self) -> Principal | None:
        head = Head.of(self.scope)
        headers = head.headers
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            is_valid = bool(key) and await in_thread(is_key, key, head)
            return Script(tokens.digest(key)) if is_valid else None
        same_origin = headers.get("origin", "").partition("://")[2] == headers.get("host")
        if same_origin and self.scope["user"].is_authenticated:
            return Browser(self.scope["session"].session_key)
        return None

    def _owner_of(self, principal: Principal) -> object:
        """The owner of the socket: a person, with any browser, or a key."""
        return self.scope["user"].pk if isinstance(principal, Browser) else principal

    async def _exists(self) -> bool:
        return self.log_id == SERVER_LOG or await in_thread(TrainingSession.objects.filter(pk=self.log_id).exists)


async def _end(task: asyncio.Task[None] | None) -> None:
    if task and task is not asyncio.current_task():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _no_room(owner: object) -> str:
    """Why one more socket is refused; empty if it is not."""
    if _open[owner] >= settings.FL_SOCKETS_EACH:
        return f"You have {_open[owner]} live connections open, the most allowed. Close a page."
    if _open.total() >= settings.FL_SOCKETS:
        return "The server has too many live connections. Try again later."
    return ""


def _asked(text: str | None) -> tuple[int, bool] | None:
    """`{"after": n}` as (n, whether `confirm` is true), or None for anything else."""
    if text is None or len(text) > MOST_MESSAGE:
        return None
    with suppress(ValueError, TypeError, KeyError, AttributeError, RecursionError):
        message = json.loads(text)
        after, confirm = message["after"], message.get("confirm") is True
        if isinstance(after, int) and not isinstance(after, bool) and 0 <= after <= LARGEST_SEQ:
            return after, confirm
    return None


async def nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a websocket at an unknown address."""
    await receive()
    await send({"type": "websocket.close"})
