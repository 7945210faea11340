"""Waits for a database that is locked or restarting, or says so to whoever may not wait; reads of one moment."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from django.db import InterfaceError, OperationalError, connection, connections, transaction

log = logging.getLogger(__name__)

T = TypeVar("T")
PAUSE_SECONDS = 1.0
BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
# Classes of SQLSTATE: connection lost, server ends or starts, too many connections, a lock not got in time.
PASSING = ("08", "57P", "53300", "55P03", "40")


def is_away(error: Exception) -> bool:
    """Whether an error passes by itself: a database that is locked, ends, starts or cannot be reached."""
    if not isinstance(error, (OperationalError, InterfaceError)):
        return False
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    if code is not None:
        return code & 0xFF in BUSY  # the other bits say more exactly what is busy
    state = getattr(error.__cause__, "sqlstate", None)
    return state is None or state.startswith(PASSING)  # nobody could be asked for a state, or it is one of these


def patiently(what: Callable[[], T], doing: str) -> T:
    """Do something again until the database lets it be done. It must do no harm twice."""
    while True:
        try:
            return what()
        except (OperationalError, InterfaceError) as error:
            if not is_away(error):
                raise
            log.warning("%s waits for the database: %s", doing, error)
            connections.close_all()
            time.sleep(PAUSE_SECONDS)


def wait(doing: str) -> None:
    """Until it answers."""
    patiently(connection.ensure_connection, doing)


@contextmanager
def snapshot() -> Iterator[None]:
    """Within the block all reads see the database of one moment, that of the first one. Only read in it.

    So two queries never find the same row in two states. It waits for nobody and holds nobody up. Within a transaction
    it does nothing.
    """
    with ExitStack() as stack:
        if not connection.in_atomic_block:
            _begin(stack)
        yield


def _begin(stack: ExitStack) -> None:
    if connection.vendor == "sqlite":
        _begin_without_lock(stack)
        return
    stack.enter_context(transaction.atomic())
    with connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


def _begin_without_lock(stack: ExitStack) -> None:
    """SQLite's deferred transactions see one moment. The others here take the write lock when they begin."""
    wrapper: Any = connections[connection.alias]
    wrapper.ensure_connection()
    mode, wrapper.transaction_mode = wrapper.transaction_mode, "DEFERRED"
    try:
        stack.enter_context(transaction.atomic())
    finally:
        wrapper.transaction_mode = mode
