"""Who stores and who deletes: one lock for all processes that share the store."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from federation.storage.places import make_store

LOCK_SECONDS = 5.0  # a deletion waits so long for those who store; a backup takes longer


@contextmanager
def keeping() -> Iterator[None]:
    """Nothing leaves the store meanwhile.

    Held from the storing of a file until the row that names it is committed, from the look at a file that is there
    until a row names it too, and for as long as a backup copies.
    """
    with _lock_file() as handle:
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield


@contextmanager
def deleting(seconds: float = LOCK_SECONDS) -> Iterator[bool]:
    """Nobody stores meanwhile, so that what no row names is needed by nobody. False: somebody keeps for longer."""
    with _lock_file() as handle:
        end = time.monotonic() + seconds
        while not (ours := _try_exclusive(handle)) and time.monotonic() < end:
            time.sleep(0.01)
        yield ours


@contextmanager
def _lock_file() -> Iterator[int]:
    """In the store, so that whoever shares it shares the lock. Closing it gives the lock up."""
    handle = _open_lock()
    try:
        yield handle
    finally:
        os.close(handle)


def _open_lock() -> int:
    file, flags = settings.FL_WEIGHTS_DIR / "lock", os.O_RDWR | os.O_CREAT
    try:
        return os.open(file, flags, 0o600)
    except FileNotFoundError:  # nothing was stored yet
        make_store()
        return os.open(file, flags, 0o600)


def _try_exclusive(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
