"""Where weight files lie."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from federation import private


def path(digest: str) -> Path:
    """Where a stored file lies. Only ever called with a digest that the server computed or checked."""
    return settings.FL_WEIGHTS_DIR / digest[:2] / f"{digest}.safetensors"


def exists(digest: str) -> bool:
    return path(digest).exists()


def make_store() -> None:
    private.make_folder(settings.FL_DATA_DIR)
    private.make_stored_folder(settings.FL_WEIGHTS_DIR)
