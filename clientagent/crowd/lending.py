"""Things that are lent, one to a borrower, to whoever asked first: connections, places, workers."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(KeyboardInterrupt):
    """Nothing is lent any more: everybody leaves, as at Ctrl-C."""


class Ticket(Generic[T]):
    """A place in the line. `give_up` ends it, whether something came or not."""

    def __init__(self, lending: Lending[T]) -> None:
        self._lending = lending
        self._turn = threading.Event()
        self._things: list[T] = []
        self.is_over = False

    def wait(self, seconds: float | None = None) -> bool:
        """Wait for the turn. False if it has not come yet. Raises Closed."""
        came = self._turn.wait(seconds)
        if came and not self._things:
            raise Closed
        return came

    @property
    def thing(self) -> T:
        """What was lent, once the turn has come."""
        return self._things[0]

    def give_up(self) -> None:
        self.is_over = True
        self._lending.end(self)

    def serve(self, *things: T) -> None:
        """The turn has come; without a thing because nothing is lent any more."""
        self._things += things
        self._turn.set()

    def take_back(self) -> list[T]:
        things, self._things = self._things, []
        return things


class Lending(Generic[T]):
    """Threads share it."""

    def __init__(self, things: Iterable[T]) -> None:
        self._free = [*things]  # the last one that came back goes first: a connection that is open
        self._line: deque[Ticket[T]] = deque()
        self._lock = threading.Lock()
        self._is_closed = False

    def ask(self) -> Ticket[T]:
        """Join the line."""
        ticket = Ticket(self)
        with self._lock:
            self._line.append(ticket)
            self._serve()
        return ticket

    @contextlib.contextmanager
    def one(self) -> Iterator[T]:
        """Wait for the turn, and have the thing within the block. Raises Closed."""
        ticket = self.ask()
        try:
            ticket.wait()
            yield ticket.thing
        finally:
            ticket.give_up()

    def end(self, ticket: Ticket[T]) -> None:
        with self._lock:
            with contextlib.suppress(ValueError):
                self._line.remove(ticket)
            self._free += ticket.take_back()
            self._serve()

    def close(self) -> None:
        """Lend nothing any more, and send away who waits."""
        with self._lock:
            self._is_closed = True
            self._serve()

    def _serve(self) -> None:
        while self._line and (self._free or self._is_closed):
            ticket = self._line.popleft()
            ticket.serve(*([] if self._is_closed else [self._free.pop()]))
