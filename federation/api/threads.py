"""Database and file work for asynchronous code, on threads that keep their connections.

What is over in a moment goes to `in_thread`. With SQLite that is one thread: several would mostly wait for each
other, at the interpreter's lock and at the database's, which costs a third more CPU than the work itself. With a
database elsewhere the waiting is for the network, so there are more. What may take long, such as to read a whole
file, goes to `at_length`, so that nothing short waits behind it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from time import monotonic, sleep
from typing import Any, ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, connection, connections

from federation import logs

P = ParamSpec("P")
R = TypeVar("R")

Job = tuple[asyncio.Future[Any], Callable[[], Any]]


class Threads:
    """Run functions in order of their coming, on a few threads that start with the first one.

    Less than half the price of an executor, which makes a future with locks of its own for each function: four calls
    of each client go through here in a round.
    """

    def __init__(self, count: Callable[[], int]) -> None:
        self._count = count
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._starting = Lock()
        self._started = False

    async def run(self, function: Callable[[], R]) -> R:
        if not self._started:
            self._start()
        future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._jobs.put((future, logs.carried(function)))
        return await future

    def _start(self) -> None:
        with self._starting:
            for number in range(0 if self._started else self._count()):
                Thread(target=self._work, name=f"api-{number}", daemon=True).start()
            self._started = True

    def _work(self) -> None:
        while True:
            future, function = self._jobs.get()
            if future.cancelled():
                continue
            try:
                answer = partial(_succeed, future, function())
            except BaseException as error:
                answer = partial(_fail, future, error)
            with suppress(RuntimeError):  # the loop has ended, and nobody waits
                future.get_loop().call_soon_threadsafe(answer)
            del future, function, answer  # else they would live until the next job


def _succeed(future: asyncio.Future[R], result: R) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


def _one() -> int:
    return 1


_short = Threads(lambda: 1 if connection.vendor == "sqlite" else 6)
_aside, _one_by_one, _sparing = Threads(_one), Threads(_one), Threads(_one)
_long = ThreadPoolExecutor(4, thread_name_prefix="files")


async def in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a function that may block for a moment. Its connection is dropped when the database did not answer."""
    return await _short.run(lambda: _run(function, *args, **kwargs))


async def aside(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The same on a thread of its own, for work that must not wait behind the calls of clients."""
    return await _aside.run(lambda: _run(function, *args, **kwargs))


async def one_by_one(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The same for long work that is done one at a time."""
    return await _one_by_one.run(lambda: _run(function, *args, **kwargs))


async def sparingly(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The same for short work that one caller can ask for without end: one at a time, with a rest twice as long.

    So all of it together takes at most a third of one core, and the calls of others do not wait behind it.
    """
    return await _sparing.run(lambda: _and_rest(lambda: _run(function, *args, **kwargs)))


def _and_rest(function: Callable[[], R]) -> R:
    began = monotonic()
    try:
        return function()
    finally:
        sleep(2 * (monotonic() - began))


async def at_length(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The same for a function that may take long."""
    return await asyncio.get_running_loop().run_in_executor(
        _long, logs.carried(lambda: _run(function, *args, **kwargs))
    )


def _run(function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
    try:
        return function(*args, **kwargs)
    except (OperationalError, InterfaceError):
        connections.close_all()
        raise
