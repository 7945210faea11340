"""Database and file work for asynchronous code, on threads that keep their connections.

What is over in a moment goes to `in_thread`. With SQLite that is one thread: several would mostly wait for each
other, at the interpreter's lock and at the database's, which costs a third more CPU than the work itself. With a
database elsewhere the waiting is for the network, so there are more. What may take long, such as to read a whole
file, goes to `at_length`, so that nothing short waits behind it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, connection, connections

P = ParamSpec("P")
R = TypeVar("R")

_short = ThreadPoolExecutor(1 if connection.vendor == "sqlite" else 6, thread_name_prefix="api")
_long = ThreadPoolExecutor(4, thread_name_prefix="files")


async def in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a function that may block for a moment. Its connection is dropped when the database did not answer."""
    return await asyncio.get_running_loop().run_in_executor(_short, lambda: _run(function, *args, **kwargs))


async def at_length(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The same for a function that may take long."""
    return await asyncio.get_running_loop().run_in_executor(_long, lambda: _run(function, *args, **kwargs))


def _run(function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
    try:
        return function(*args, **kwargs)
    except (OperationalError, InterfaceError):
        connections.close_all()
        raise
