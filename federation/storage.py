"""Weight files, kept under their SHA-256. A file is complete from the moment it has its name."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from federation.errors import StorageFull

SPARE_BYTES = 64 << 20  # below this much free space nothing new is taken in
FULL = "The server's disk is full. Nothing is lost; try again when there is room."


def path(digest: str) -> Path:
    """Where a stored file lies. Only ever called with a digest that the server computed or checked."""
    return settings.FL_WEIGHTS_DIR / digest[:2] / f"{digest}.safetensors"


def exists(digest: str) -> bool:
    return path(digest).exists()


def put(source: Path, digest: str) -> None:
    """Move a finished file into the store. The same content again is the same file."""
    target = path(digest)
    target.parent.mkdir(parents=True, exist_ok=True)
    with refusing_when_full():
        os.replace(source, target)


def scratch_path() -> Path:
    """A new path for a file in the making, on the same disk as the store."""
    settings.FL_SCRATCH_DIR.mkdir(parents=True, exist_ok=True)
    return settings.FL_SCRATCH_DIR / secrets.token_hex(12)


@contextmanager
def scratch() -> Iterator[Path]:
    """The same for the length of a block; whatever is left there at the end is removed."""
    file = scratch_path()
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)


def upload_path(seat_id: int) -> Path:
    """Where the parts of an unfinished upload are gathered."""
    settings.FL_UPLOADS_DIR.mkdir(parents=True, exist_ok=True)
    return settings.FL_UPLOADS_DIR / f"{seat_id}.part"


def delete(digests: Iterable[str]) -> None:
    for digest in digests:
        path(digest).unlink(missing_ok=True)


def sweep(older_than_seconds: float = 86_400) -> None:
    """Remove what a killed process left in the making."""
    for folder in (settings.FL_SCRATCH_DIR, settings.FL_UPLOADS_DIR):
        for file in folder.glob("*"):
            if time.time() - file.stat().st_mtime > older_than_seconds:
                file.unlink(missing_ok=True)


def is_full() -> bool:
    return shutil.disk_usage(settings.FL_DATA_DIR).free < SPARE_BYTES


def require_room() -> None:
    """Raises StorageFull where the rest of the disk is needed for what goes on."""
    if is_full():
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
