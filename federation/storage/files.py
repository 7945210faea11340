"""Puts files into the store and takes them out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from django.conf import settings

from federation import private
from federation.storage import seals
from federation.storage import spare as spares
from federation.storage.places import make_store, path
from federation.storage.room import refusing_when_full
from federation.storage.unfinished import scratch_path
from federation.storage.wholeness import forget, mark_of, saw_whole


def put(source: Path, digest: str, *, seal: bytes = b"") -> None:
    """Move a finished file into the store. The same content again is the same file. seal: see `storage.seals`."""
    target = path(digest)
    if seal:
        seals.attach(source, seal)
    private.share(source, private.FILE)
    with refusing_when_full():
        try:
            os.replace(source, target)
        except FileNotFoundError:  # the first file of its folder
            make_store()
            private.make_stored_folder(target.parent)
            os.replace(source, target)
    saw_whole(digest, mark_of(target))


def delete(digests: Iterable[str], *, spare: bool = False) -> None:
    """Only ever called while `deleting`. spare: the files may be written over (see `storage.spare`)."""
    for digest in digests:
        forget(digest)
        if spare:
            spares.keep(path(digest))
        else:
            path(digest).unlink(missing_ok=True)


def stored(part: int = 0, parts: int = 1) -> Iterator[set[str]]:
    """The digests of all stored files, or of one part of so many, a folder of them at a time."""
    for folder in sorted(settings.FL_WEIGHTS_DIR.glob("[0-9a-f][0-9a-f]")):
        if int(folder.name, 16) % parts == part:
            yield {file.stem for file in folder.glob("*.safetensors")}


def set_aside(digest: str) -> None:
    """Take a damaged file out of the store. It is kept for a day, for somebody to look at."""
    forget(digest)
    with suppress(FileNotFoundError):
        os.replace(path(digest), scratch_path().with_name(f"{digest}.damaged"))
