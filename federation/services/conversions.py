"""Models in another format, made once and kept for a while. Repeated and slow downloads share one file."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings

from federation import private, storage
from federation.fl.files import torch_file

MOST_FILES = 8
MOST_BYTES = 1 << 30  # together; the newest file stays whatever its size
UNUSED_SECONDS = 86_400.0


def kept(digest: str) -> Path | None:
    """A model's state_dict if it exists, marked as used."""
    file = _path(digest)
    try:
        os.utime(file)
    except FileNotFoundError:
        return None
    return file


def make(digest: str) -> Path:
    """A stored model as a state_dict, made if there is none. One at a time on this machine. Raises StorageFull."""
    with _alone():
        if found := kept(digest):
            return found
        storage.require_room(storage.num_bytes(digest))
        with storage.local(digest) as source, storage.scratch() as made, storage.refusing_when_full():
            torch_file.write(source, made)
            os.replace(made, _path(digest))
        _keep_few()
        return _path(digest)


def sweep(*, unused_seconds: float = UNUSED_SECONDS) -> None:
    """Remove unused files and those of deleted models. Downloads in progress continue."""
    for file in _files():
        with suppress(FileNotFoundError):
            if time.time() - file.stat().st_mtime >= unused_seconds or not storage.exists(file.stem):
                file.unlink()


def _path(digest: str) -> Path:
    return settings.FL_CONVERTED_DIR / f"{digest}.pt"


def _files() -> list[Path]:
    return list(settings.FL_CONVERTED_DIR.glob("*.pt"))


def _keep_few() -> None:
    """Remove the least recently used files beyond MOST_FILES and MOST_BYTES."""
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
