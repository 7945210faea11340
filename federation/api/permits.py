"""Permits: whatever is open ends within a second after its right is revoked.

A poll, an upload, a download or a websocket holds a permit while it is open, and waits for the other side through it.
The database is asked regularly whether all holders may continue, for all of them at once. So it does not matter who
revoked the right, how, and in which process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from federation.api.threads import aside
from federation.errors import Refused
from federation.services import standing
from federation.services.standing import Principal

log = logging.getLogger(__name__)
P = ParamSpec("P")
R = TypeVar("R")

LOOK_SECONDS = 0.4


class Permit:
    """The right of one principal to continue. `refusal` says why it ended."""

    def __init__(self, principal: Principal) -> None:
        self.principal = principal
        self.refusal: Refused | None = None
        self._waits: set[asyncio.Timeout] = set()

    async def wait(self, function: Callable[P, Awaitable[R]], *args: P.args, **kwargs: P.kwargs) -> R:
        """Await a function's result. Raises the refusal as soon as there is one."""
        if self.refusal:
            raise self.refusal
        try:
            async with asyncio.timeout(None) as wait:
                self._waits.add(wait)
                try:
                    return await function(*args, **kwargs)
                finally:
                    self._waits.discard(wait)
        except TimeoutError:
            if self.refusal and wait.expired():
                raise self.refusal from None
            raise

    def withdraw(self, refusal: Refused) -> None:
        """End the right. Call it in the loop that waits."""
        self.refusal = refusal
        for wait in self._waits:
            wait.reschedule(0)  # a time that has passed


class Watch:
    """Checks whether the holders of permits in one loop may continue, while there is a permit."""

    def __init__(self) -> None:
        self._permits: set[Permit] = set()
        self._looking: asyncio.Task[None] | None = None

    def add(self, permit: Permit) -> None:
        self._permits.add(permit)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look())

    def discard(self, permit: Permit) -> None:
        self._permits.discard(permit)

    async def _look(self) -> None:
        while self._permits:
            await asyncio.sleep(LOOK_SECONDS)
            principals = {permit.principal for permit in self._permits}
            try:
                withdrawn = await aside(standing.withdrawn, principals, now=timezone.now())
            except (DatabaseError, InterfaceError) as error:
                log.warning("the permits cannot be checked: %s", error)
                continue
            for permit in list(self._permits) if withdrawn else ():
                if permit.principal in withdrawn:
                    permit.withdraw(withdrawn[permit.principal])


_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, Watch] = WeakKeyDictionary()


@contextmanager
def held(principal: Principal) -> Iterator[Permit]:
    """A permit for the duration of a block."""
    watch = _watches.setdefault(asyncio.get_running_loop(), Watch())
    permit = Permit(principal)
    watch.add(permit)
    try:
        yield permit
    finally:
        watch.discard(permit)
