"""The disk's reserve: below it nothing new is taken in."""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from federation.errors import StorageFull

SPARE_BYTES = 64 << 20  # below this much free space nothing new is taken in
LOOK_SECONDS = 0.01
FULL = "The server's disk is full. Nothing is lost; try again when there is room."


def free_bytes() -> int:
    return free_and_size()[0]


def free_and_size() -> tuple[int, int]:
    """Bytes of the data folder's disk that this server's user may use, and all of them."""
    found = os.statvfs(settings.FL_DATA_DIR)
    return found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize


def is_full() -> bool:
    return free_bytes() < SPARE_BYTES


def is_nearly_full() -> bool:
    """What is not needed any more should go now, before anything has to be refused."""
    return free_bytes() < 2 * SPARE_BYTES


def has_room_again() -> bool:
    """A little more than not full, so that it does not change with every file."""
    return free_bytes() >= SPARE_BYTES * 5 // 4


class Look:
    """What was free at the last look, which is not asked for again for a moment: each piece of an upload asks.

    In that time a disk takes less than the reserve.
    """

    def __init__(self) -> None:
        self._at, self._free = -math.inf, 0

    def free_bytes(self) -> int:
        now = time.monotonic()
        if now - self._at > LOOK_SECONDS:
            self._at, self._free = now, free_bytes()
        return self._free


_look = Look()


def require_room(num_bytes: int = 0) -> None:
    """Raises StorageFull if this many more bytes would use up the disk's reserve."""
    if _look.free_bytes() - num_bytes < SPARE_BYTES:
        raise StorageFull(FULL)


@contextmanager
def refusing_when_full() -> Iterator[None]:
    """Turn the operating system's "no space left" into a refusal that says so."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(FULL) from error
        raise
