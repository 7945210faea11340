"""How much of the disk unfinished updates may take together, so that those who never finish leave room for the others.

An update that is being received is promised its room before its first byte is kept. Where the room does not do,
unfinished ones that nobody sends at the moment are removed, those that stood still longest first; their senders begin
again. If that does not do either, the new one is refused for a while.
"""

from __future__ import annotations

import fcntl
import math
import os
import time
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from federation.errors import StorageFull
from federation.storage import room
from federation.storage.unfinished import lies_at

SHARE = 3  # they may take a third of what is free beyond the reserve
SMALL_BYTES = 64 << 10  # the limit of connections bounds what such updates take
LOOK_SECONDS = 1.0  # what other processes receive is looked for again after this long
RETRY_SECONDS = 2
CROWDED = (
    "The server is receiving as many updates as its disk has room for. "
    f"Nothing is lost; try again in {RETRY_SECONDS} s."
)


@dataclass(frozen=True, slots=True)
class Found:
    """An unfinished update on the disk."""

    path: Path
    num_bytes: int
    written_at: float


@dataclass(frozen=True, slots=True)
class Look:
    """What is on the disk. on_disk: bytes of all unfinished updates; resting: the others than those being received."""

    at: float = -math.inf
    on_disk: int = 0
    resting: int = 0


class Arriving:
    """The updates that this process is receiving, each with the size that its file may have in the end."""

    def __init__(self) -> None:
        self._promised: dict[Path, int] = {}
        self._look = Look()

    @contextmanager
    def room_for(self, path: Path, num_bytes: int) -> Iterator[None]:
        if num_bytes <= SMALL_BYTES:
            yield
            return
        if self._missing(num_bytes) > 0:
            self._make_room(path, num_bytes)
        self._promised[path] = num_bytes
        try:
            yield
        finally:
            del self._promised[path]

    def _missing(self, num_bytes: int) -> int:
        """How many bytes the share is too small for one more update. What is removed of it becomes free space."""
        if time.monotonic() - self._look.at > LOOK_SECONDS:
            self._look_again(_unfinished())
        share = (room.free_bytes() - room.SPARE_BYTES + self._look.on_disk) // SHARE
        return sum(self._promised.values()) + self._look.resting + num_bytes - share

    def _look_again(self, found: Collection[Found]) -> None:
        resting = sum(one.num_bytes for one in found if one.path not in self._promised)
        self._look = Look(time.monotonic(), sum(one.num_bytes for one in found), resting)

    def _make_room(self, path: Path, num_bytes: int) -> None:
        """Remove resting updates until there is room for this one. Raises StorageFull if that does not do."""
        found = [one for one in _unfinished() if one.path != path]
        self._look_again(found)
        missing = self._missing(num_bytes)
        resting = [one for one in found if one.path not in self._promised and one.path.stem.isdigit()]
        is_alone = not self._promised  # a single one may have whatever is free
        if is_alone or missing <= sum(one.num_bytes for one in resting):
            missing -= _remove(resting, missing)
            self._look = Look()
        if missing > 0 and not is_alone:
            raise StorageFull(CROWDED, headers={"Retry-After": str(RETRY_SECONDS)})


def _remove(resting: list[Found], num_bytes: int) -> int:
    """Remove updates, those that stood still longest first, until so many bytes are free. Returns how many are."""
    freed = 0
    for one in sorted(resting, key=lambda one: one.written_at):
        if freed >= num_bytes:
            break
        freed += one.num_bytes if _removed(one.path) else 0
    return freed


def _unfinished() -> list[Found]:
    """Not those of operators, whose right it is to fill the disk."""
    found = []
    for path in settings.FL_UPLOADS_DIR.glob("*.part"):
        with suppress(FileNotFoundError):
            if not path.name.startswith("model-"):
                stat = path.stat()
                found.append(Found(path, stat.st_blocks * 512, stat.st_mtime))
    return found


def _removed(path: Path) -> bool:
    """Remove an unfinished update, if no process is receiving it."""
    with suppress(FileNotFoundError, BlockingIOError):
        handle = os.open(path, os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lies_at(path, handle):
                path.unlink()
                return True
        finally:
            os.close(handle)
    return False


_arriving = Arriving()


def room_for(path: Path, num_bytes: int) -> AbstractContextManager[None]:
    """Promise an update that is received so many bytes for the length of a block. Raises StorageFull."""
    return _arriving.room_for(path, num_bytes)
