"""Where weight files lie."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings

from federation import private


def path(digest: str) -> Path:
    """Where a stored file lies. Only ever called with a digest that the server computed or checked."""
    return settings.FL_WEIGHTS_DIR / digest[:2] / f"{digest}.safetensors"


@contextmanager
def local(digest: str) -> Iterator[Path]:
    """A path at which a stored file can be read, for the length of a block. A store elsewhere would fetch it here."""
    yield path(digest)


def num_bytes(digest: str) -> int:
    """The size of a stored file. Raises FileNotFoundError where it is missing."""
    return path(digest).stat().st_size


def exists(digest: str) -> bool:
    return path(digest).exists()


def make_store() -> None:
    private.make_folder(settings.FL_DATA_DIR)
    private.make_stored_folder(settings.FL_WEIGHTS_DIR)
