"""Files in the making, on the same disk as the store."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings

from federation import private

ABANDONED_SECONDS = 86_400.0


def scratch_path() -> Path:
    """A new path for a file in the making, on the same disk as the store."""
    private.make_folder(settings.FL_SCRATCH_DIR)
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
    private.make_folder(settings.FL_UPLOADS_DIR)
    return settings.FL_UPLOADS_DIR / f"{seat_id}.part"


def model_upload_path(upload_id: int) -> Path:
    """The same for the file of an operator."""
    private.make_folder(settings.FL_UPLOADS_DIR)
    return settings.FL_UPLOADS_DIR / f"model-{upload_id}.part"


def lies_at(path: Path, handle: int) -> bool:
    """Whether an open file is the one at this path; another one may have taken its place, or none."""
    with suppress(FileNotFoundError):
        return os.path.samestat(path.stat(), os.fstat(handle))
    return False


def sweep() -> None:
    """Remove what a killed process left in the making a day ago."""
    remove_abandoned(settings.FL_SCRATCH_DIR.glob("*"))
    sweep_uploads()


def sweep_uploads(*, abandoned_seconds: float = ABANDONED_SECONDS) -> None:
    remove_abandoned(settings.FL_UPLOADS_DIR.glob("*"), abandoned_seconds=abandoned_seconds)


def remove_abandoned(made: Iterable[Path], *, abandoned_seconds: float = ABANDONED_SECONDS) -> None:
    """Remove those files and folders that nobody wrote to for so long."""
    for path in made:
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime < abandoned_seconds:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
