"""Models in another format, made once and kept for a while: who asks again, or reads slowly, costs no further file."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings

from federation import private, storage
from federation.fl import torch_file

MOST_FILES = 8
MOST_BYTES = 1 << 30  # of all together; the newest one stays whatever its size
UNUSED_SECONDS = 86_400.0


def kept(digest: str) -> Path | None:
    """A model's state_dict where it was made already, noted as used."""
    file = _path(digest)
    try:
        os.utime(file)
    except FileNotFoundError:
        return None
    return file


def make(digest: str) -> Path:
    """A stored model as a state_dict, made where there is none. One at a time on this machine. Raises StorageFull."""
    with _alone():
        if found := kept(digest):
            return found
        source = storage.path(digest)
        storage.require_room(source.stat().st_size)
        with storage.scratch() as made, storage.refusing_when_full():
            torch_file.write(source, made)
            os.replace(made, _path(digest))
        _keep_few()
        return _path(digest)


def sweep(*, unused_seconds: float = UNUSED_SECONDS) -> None:
    """Remove what nobody asked for of late, and whose model is gone. Who reads one just now reads on."""
    for file in _files():
        with suppress(FileNotFoundError):
            if time.time() - file.stat().st_mtime >= unused_seconds or not storage.exists(file.stem):
                file.unlink()


def _path(digest: str) -> Path:
    return settings.FL_CONVERTED_DIR / f"{digest}.pt"


def _files() -> list[Path]:
    return list(settings.FL_CONVERTED_DIR.glob("*.pt"))


def _keep_few() -> None:
    """Remove what was used longest ago, beyond so many files and bytes."""
    room = MOST_BYTES
    for number, (_, size, file) in enumerate(sorted(_marks(), reverse=True)):
        room -= size
        if number and (number >= MOST_FILES or room < 0):
            file.unlink(missing_ok=True)


def _marks() -> Iterator[tuple[float, int, Path]]:
    for file in _files():
        with suppress(FileNotFoundError):
            stat = file.stat()
            yield stat.st_mtime, stat.st_size, file


@contextmanager
def _alone() -> Iterator[None]:
    private.make_folder(settings.FL_CONVERTED_DIR)
    handle = os.open(settings.FL_CONVERTED_DIR / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
