"""What the clients of one process share: connections, the model cache, and the words about the server."""

from __future__ import annotations

import contextlib
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from time import monotonic
from typing import Any

from clientagent.api import Api
from clientagent.calls import Call
from clientagent.connection import Connection
from clientagent.crowd.lending import Lending, Ticket
from clientagent.errors import Dropped
from clientagent.link import Link
from clientagent.models import ModelCache
from clientagent.progress import Advance
from clientagent.work import BaseModel

LOOK_SECONDS = 1.0  # between two looks at whether to go on, for those who wait


class SharingApi(Api):
    """A client's calls, made over connections that it borrows: `within` a block, and not while it pauses.

    Once everybody leaves, what waits ends by KeyboardInterrupt, as an agent's only thread does at Ctrl-C.
    """

    def __init__(self, *given: Any, leaving: threading.Event, gave_up: Callable[[str], None], **named: Any) -> None:
        """gave_up: called with the reason when a seat is given up."""
        super().__init__(*given, **named)
        self._leaving, self._gave_up = leaving, gave_up
        self._lending: Lending[Connection] | None = None
        self._ticket: Ticket[Connection] | None = None
        self.in_line: Ticket[Connection] | None = None  # given up by a pause: it may be a long one

    def fail(self, participation: str, reason: str) -> None:
        self._gave_up(reason)
        super().fail(participation, reason)

    def report(self, call: Call, error: OSError | HTTPException) -> float:
        self._stay()
        return super().report(call, error)

    @contextlib.contextmanager
    def within(self, lending: Lending[Connection]) -> Iterator[None]:
        """Wait for a connection, and use it within the block."""
        own, self._lending = self.connection, lending
        try:
            self._borrow()
            yield
        finally:
            self._give_back()
            self.connection, self._lending = own, None

    @contextlib.contextmanager
    def over(self, connection: Connection) -> Iterator[None]:
        """Use a connection within the block, also while it pauses."""
        own, self.connection = self.connection, connection
        try:
            yield
        finally:
            self.connection = own

    def pause(self, seconds: float) -> None:
        self._give_back()
        if self.in_line is not None:
            self.in_line.give_up()
        end = monotonic() + seconds * random.uniform(0.5, 1.0)
        while (left := end - monotonic()) > 0:
            self._stay()
            if self.stop.wait(min(left, LOOK_SECONDS)):
                raise Dropped("The work was dropped while the agent waited.")
        self._borrow()

    def _stay(self) -> None:
        if self._leaving.is_set():
            raise KeyboardInterrupt

    def _borrow(self) -> None:
        self._stay()
        if self._lending is not None:
            self._ticket = self._lending.ask()
            self._ticket.wait()
            self.connection = self._ticket.thing

    def _give_back(self) -> None:
        if self._ticket is not None:
            self._ticket.give_up()
            self._ticket = None


class MemberLink(Link):
    """The server answers all clients or none, so that is said once. What it says to one client has its name."""

    def __init__(self, shared: Link, say: Callable[[str], None]) -> None:
        super().__init__(say)
        self._shared = shared

    def once(self, key: str, text: str) -> None:
        self._shared.once(key, text)

    def down(self, reason: str) -> None:
        self._shared.down(reason)

    def stranger(self, call: str, reason: str, words: str) -> None:
        self._shared.stranger(call, reason, words)

    def up(self, call: str = "") -> None:
        self._shared.up(call)

    def forget(self, call: str) -> None:
        self._shared.forget(call)


class SharedModels(ModelCache):
    """Threads share it. A model is fetched by one of them, and stays while one of them needs it."""

    def __init__(self, folder: Path, *, alone: bool) -> None:
        """alone: no other process uses the folder, so that what nobody here needs can go at once."""
        super().__init__(folder, shared=True)
        if alone:
            self._model_seconds = 0.0
        self._lock = threading.Lock()
        self._fetching: dict[str, threading.Lock] = {}
        self._needed: Counter[str] = Counter()

    def of_client(self) -> ClientModels:
        return ClientModels(self)

    def fetch(self, api: Api, base: BaseModel, advance: Advance) -> Path:
        with self._lock:
            turn = self._fetching.setdefault(base.digest, threading.Lock())
        while not turn.acquire(timeout=LOOK_SECONDS):
            advance(0.0)  # raises Dropped once nobody needs it any more
            if api.stop.is_set():
                raise Dropped
        try:
            return super().fetch(api, base, advance)
        finally:
            turn.release()

    def hold(self, digest: str) -> None:
        with self._lock:
            self._needed[digest] += 1

    def release(self, digest: str) -> None:
        with self._lock:
            self._needed[digest] -= 1
            if not self._needed[digest]:
                del self._needed[digest]
                self._fetching.pop(digest, None)

    def _is_held(self, path: Path) -> bool:
        return self._needed[path.stem] > 0


class ClientModels:
    """One client's way to the shared models."""

    def __init__(self, shared: SharedModels) -> None:
        self._shared = shared
        self._held: list[str] = []

    def fetch(self, api: Api, base: BaseModel, advance: Advance) -> Path:
        self._held.append(base.digest)
        self._shared.hold(base.digest)
        return self._shared.fetch(api, base, advance)

    def release(self) -> None:
        """The work is over, so its model may go."""
        while self._held:
            self._shared.release(self._held.pop())
