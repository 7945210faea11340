"""Files of updates that nobody needs any more, kept for a while to be written over by the next ones.

The first write to new memory costs several times one that writes over, and what a deleted file leaves is new memory
to the next file. Nothing is ever read from here. A file is taken only if nobody has it open, because whoever still
reads an update must not see another one.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import signal
import time
from contextlib import suppress
from pathlib import Path

from django.conf import settings

from federation import private
from federation.storage.room import free_bytes

SUFFIX = ".spare"
LEAST_BYTES = 8 << 20  # new memory for a smaller file costs too little
MOST_FILES, MOST_BYTES = 64, 4 << 30
MOST_OF_FREE = 4  # a quarter of what is free on the disk
KEPT_SECONDS = 600.0
CAN_TELL = hasattr(fcntl, "F_SETLEASE")  # whether anybody has a file open


def keep(file: Path) -> None:
    """Take a file away from where it lies: keep it if it is of use and there is room, else remove it."""
    with suppress(FileNotFoundError):
        if not (_is_wanted(file.stat().st_size) and _moved(file)):
            file.unlink()


def take(num_bytes: int) -> Path | None:
    """A file of about this size to be written over, under a name that nobody else knows; None if there is none.

    It is as large as it was, and what it holds is of no meaning.
    """
    if num_bytes < LEAST_BYTES:
        return None
    for _, file in sorted((abs(size - num_bytes), file) for file, size, _ in _kept() if size <= 2 * num_bytes):
        own = file.with_name(f"{secrets.token_hex(12)}.part")
        with suppress(FileNotFoundError):  # another process was faster
            os.rename(file, own)
            os.utime(own)
            if _is_nobodys(own):
                return own
            own.unlink()
    return None


def drop(*, unused_seconds: float = KEPT_SECONDS) -> None:
    """Remove those that nobody took for so long."""
    for file, _, since in _kept():
        if time.time() - since >= unused_seconds:
            file.unlink(missing_ok=True)


def _is_wanted(num_bytes: int) -> bool:
    kept = [size for _, size, _ in _kept()]
    room = min(MOST_BYTES, free_bytes() // MOST_OF_FREE)
    return CAN_TELL and num_bytes >= LEAST_BYTES and len(kept) < MOST_FILES and sum(kept) + num_bytes <= room


def _moved(file: Path) -> bool:
    private.make_folder(settings.FL_UPLOADS_DIR)
    spare = settings.FL_UPLOADS_DIR / f"{secrets.token_hex(12)}{SUFFIX}"
    try:
        os.utime(file)
        os.rename(file, spare)
    except OSError:  # it lies on another file system
        return False
    return True


def _kept() -> list[tuple[Path, int, float]]:
    """Each with its size, and since when it has been spare."""
    found = []
    for file in settings.FL_UPLOADS_DIR.glob(f"*{SUFFIX}"):
        with suppress(FileNotFoundError):
            stat = file.stat()
            found.append((file, stat.st_size, stat.st_mtime))
    return found


def _is_nobodys(file: Path) -> bool:
    """Whether nobody on this machine has the file open or mapped. False on file systems that cannot say it.

    The kernel lends a file for writing only to whoever is alone with it.
    """
    with file.open("r+b", buffering=0) as handle:
        try:
            fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)  # is ignored; by default SIGIO would end the process
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError:
            return False
        return os.fstat(handle.fileno()).st_nlink == 1
