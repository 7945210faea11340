"""A file that one process at a time holds. The system gives it back when that process ends, however it ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO


def try_lock(path: Path) -> BinaryIO | None:
    """The file, open for reading and writing, new if there was none; None while another process holds it.

    Close it to give it back.
    """
    # One call: between making and opening it the last holder could remove it.
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600), "r+b")
    try:
        _lock(file)
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):  # else its last holder renamed or removed it
            return file
    except OSError:
        pass
    file.close()
    return None


if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO) -> None:
        file.seek(1 << 40)  # beyond what is read and written: on Windows a locked byte can be neither
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        file.seek(0)

else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
