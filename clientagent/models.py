"""Base models: downloaded once, kept by digest, shared by agents on one machine."""

from __future__ import annotations

import contextlib
import os
from hashlib import file_digest
from pathlib import Path
from time import time
from typing import Protocol

from clientagent.api import Api
from clientagent.download import Partial, download
from clientagent.errors import Failed, Misconfigured
from clientagent.lock import try_lock
from clientagent.progress import Advance
from clientagent.work import BaseModel

SMALL_BYTES = 8 << 20  # a model so small is written into a file that was emptied: new memory for it costs little
KEEP = 2  # models
LOOK_SECONDS = 0.1  # while another agent downloads the same model
ATTEMPTS = 3  # at a file that arrives whole and has another digest


class Models(Protocol):
    def fetch(self, api: Api, base: BaseModel, advance: Advance) -> Path:
        """The model's file, downloaded unless it is there. Raises Dropped, Failed."""


class ModelCache:
    """A folder of models named by digest.

    shared: other agents use it too, so a model that one of them may be about to read is not removed.
    """

    def __init__(self, folder: Path, *, shared: bool) -> None:
        self._folder, self._shared = folder, shared
        self._model_seconds, self._part_seconds = (600.0, 86_400.0) if shared else (0.0, 0.0)
        self._verified: set[str] = set()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise Misconfigured(f"The folder for models {folder} cannot be used: {error.strerror}.") from error

    def fetch(self, api: Api, base: BaseModel, advance: Advance) -> Path:
        """The model's file, downloaded unless it is there. Raises Dropped, Failed."""
        path = self._folder / f"{base.digest}.safetensors"
        if not self._has(path, base):
            for attempt in range(ATTEMPTS):
                if self._download(api, base, path, advance, doubted=attempt > 0):
                    break
            else:
                raise Failed(f"The model {base.digest[:12]}… from the server has another digest.")
            self._verified.add(base.digest)
        os.utime(path)
        self._prune(path)
        return path

    def _has(self, path: Path, base: BaseModel) -> bool:
        """Whether the file is there and whole; read once per process, because another one may have written it."""
        if not path.exists() or path.stat().st_size != base.num_bytes:
            return False
        if base.digest not in self._verified:
            with path.open("rb") as file:
                if file_digest(file, "sha256").hexdigest() != base.digest:
                    return False
            self._verified.add(base.digest)
        return True

    def _download(self, api: Api, base: BaseModel, path: Path, advance: Advance, *, doubted: bool) -> bool:
        """One attempt, once no other agent downloads this model. False if the digest does not fit."""
        part, mark = path.with_suffix(".part"), path.with_suffix(".mark")
        if not self._shared and not part.exists():
            self._reuse(part, mark, base.num_bytes)
        while (file := try_lock(part)) is None:
            advance(_fraction(part, base.num_bytes))
            api.pause(LOOK_SECONDS)
        with file:
            came = self._has(path, base)  # while we waited
            if not came:
                partial = Partial(file, mark, base.num_bytes, advance)
                download(api, base.url, partial, doubted=doubted)
                if partial.digest != base.digest:
                    partial.restart()
                    return False
        if came:
            part.unlink(missing_ok=True)
        else:
            with contextlib.suppress(FileNotFoundError):  # an agent that waited for the lock may have been faster
                os.replace(part, path)
        mark.unlink(missing_ok=True)
        return True

    def _reuse(self, part: Path, mark: Path, num_bytes: int) -> None:
        """Write over the model that would be removed next: new memory for a file can cost more than its download."""
        models = sorted(self._folder.glob("*.safetensors"), key=_last_used)
        with contextlib.suppress(FileNotFoundError):  # the file is one less to remove, and no reason to lose the work
            if len(models) >= KEEP and models[0].stat().st_size == num_bytes:
                if num_bytes <= SMALL_BYTES:
                    os.truncate(models[0], 0)
                else:
                    mark.write_text("0")
                os.replace(models[0], part)

    def _prune(self, used: Path) -> None:
        models = sorted(self._folder.glob("*.safetensors"), key=_last_used, reverse=True)
        parts = [*self._folder.glob("*.part"), *self._folder.glob("*.mark")]
        for paths, idle_seconds in ((models[KEEP:], self._model_seconds), (parts, self._part_seconds)):
            for path in paths:
                if path != used and not self._is_held(path) and time() - _last_used(path) >= idle_seconds:
                    path.unlink(missing_ok=True)

    def _is_held(self, path: Path) -> bool:
        """Whether somebody in this process is known to need the file."""
        return False


def _fraction(part: Path, num_bytes: int) -> float:
    with contextlib.suppress(FileNotFoundError):
        return min(1.0, part.stat().st_size / num_bytes)
    return 1.0


def _last_used(path: Path) -> float:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_mtime
    return 0.0
