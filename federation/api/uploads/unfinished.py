"""The file of an unfinished upload, and where it stands."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from federation import storage
from federation.errors import Locked, Refused
from federation.lifecycle import COUNTED
from federation.models import Participation

LOCK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Upload:
    path: Path
    handle: int

    def write(self, data: bytes, at: int) -> None:
        while data:
            written = os.pwrite(self.handle, data, at)
            data, at = data[written:], at + written

    def write_over(self, num_bytes: int) -> None:
        """Put an older file of about this size in the place of this one, which is empty, and lock it."""
        older = None if os.fstat(self.handle).st_size else storage.spare.take(num_bytes)
        if older is None:
            return
        handle = os.open(older, os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.replace(older, self.path)
            os.dup2(handle, self.handle, inheritable=False)
        finally:
            os.close(handle)

    @contextmanager
    def without_a_rest(self, start: int) -> Iterator[None]:
        """If what is written in this block is refused, remove it from the disk."""
        try:
            yield
        except Refused:
            os.ftruncate(self.handle, start)
            raise


def locked(seat: Participation) -> AbstractAsyncContextManager[Upload]:
    """The seat's upload file, for one writer at a time."""
    return opened(storage.upload_path(seat.pk))


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Upload]:
    """A file that is being uploaded, for one writer at a time over all processes of this machine."""
    end = time.monotonic() + LOCK_SECONDS
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            await _lock(handle, end)
            if storage.lies_at(path, handle):  # not so if another request moved or replaced it while this one waited
                yield Upload(path, handle)
                return
        finally:
            os.close(handle)


async def _lock(handle: int, end: float) -> None:
    """Wait a moment for a request that was cut off and notes how far it came. Raises Locked."""
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise Locked("Another request is sending this file right now.") from None
            await asyncio.sleep(0.01)
        else:
            return


def offset_of(seat: Participation) -> int:
    """Where the upload stands. A file that is shorter than noted was lost: it begins again."""
    if seat.is_accepted:
        return seat.num_bytes
    path = storage.upload_path(seat.pk)
    kept = path.stat().st_size if path.exists() else 0
    return seat.upload_offset if kept >= seat.upload_offset else 0


def begin(seat: Participation, upload: Upload, length: int | None) -> None:
    give_up_others(seat)
    note(seat, 0, length)
    os.ftruncate(upload.handle, 0)


def write_over(seat: Participation, upload: Upload, length: int) -> None:
    """Begin in the place of an older file. That nothing has arrived is noted first: a killed process leaves the file,
    and what it held must not pass for what arrived."""
    if seat.upload_offset:
        note(seat, 0, length)
    upload.write_over(length)


def give_up_others(seat: Participation) -> None:
    """A client sends one update at a time: remove half uploads for its other seats."""
    others = Participation.objects.filter(client=seat.client_id, upload_offset__gt=0).exclude(pk=seat.pk)
    left = list(others.exclude(status__in=COUNTED).values_list("pk", flat=True))
    if left:
        Participation.objects.filter(pk__in=left).update(upload_offset=0, upload_length=None)
        for pk in left:
            storage.upload_path(pk).unlink(missing_ok=True)


def note(seat: Participation, offset: int, length: int | None) -> None:
    seat.upload_offset, seat.upload_length = offset, length
    seat.save(update_fields=["upload_offset", "upload_length"])
