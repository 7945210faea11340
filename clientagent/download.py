"""A model's file on its way here: asked for in parts, and continued where it was cut, even after a restart."""

from __future__ import annotations

import contextlib
import os
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from clientagent import calls, persisting
from clientagent.api import Api, check_token
from clientagent.errors import Failed
from clientagent.exchange import Answer
from clientagent.progress import Advance
from federation import killpoints

PART_BYTES = 64 << 20
MARK_BYTES = 4 << 20  # after so many it is noted how far a download over another model is


def download(api: Api, url: str, file: Partial, *, doubted: bool = False) -> None:
    """Fetch what the file lacks. Raises Failed if the server gives out no such model.

    doubted: what came the last time did not fit its digest, so that the server is to look at its file.
    """
    while file.offset < file.num_bytes:
        answer = _part(api, url, file, doubted)
        check_token(answer)
        if answer.status == 416:
            file.restart()
            api.pause(persisting.LONGEST_DELAY)  # what is stored here does not fit what is stored there
        elif answer.status not in (200, 206):
            raise Failed(f"The base model cannot be downloaded: {answer.detail}")


def _part(api: Api, url: str, file: Partial, doubted: bool) -> Answer:
    """Fetch a part. An attempt that was cut is followed by one for the rest."""
    with api.attempts(calls.MODEL) as attempts:
        while True:
            start = file.offset
            stop = min(start + PART_BYTES, file.num_bytes)
            answer = attempts.once(api.part_of_model(url, start, stop, doubted=doubted), file)
            if answer is not None:
                return answer
            attempts.wait()
            if file.offset != start:
                attempts.begin_anew()


class Partial:
    """A file that is being downloaded: how far it is, and the digest of what is there.

    Its length says how far it is; if it is written over another file, `mark` says how far at least.
    """

    def __init__(self, file: BinaryIO, mark: Path, num_bytes: int, advance: Advance) -> None:
        self.offset = 0
        self._file = file
        self._mark = mark if mark.exists() else None
        self._marked = 0
        self.num_bytes = num_bytes
        self._advance = advance
        self._sha = sha256()
        self._read_what_is_there()

    @property
    def digest(self) -> str:
        return self._sha.hexdigest()

    def restart(self) -> None:
        self._file.seek(0)
        if self._mark:
            self._mark_at(0)
        else:
            self._file.truncate()
        self.offset, self._sha = 0, sha256()

    def write(self, chunk: memoryview) -> None:
        if self.offset + len(chunk) > self.num_bytes:
            raise Failed("The server sends more bytes than the model has.")
        try:
            self._store(chunk)
        except OSError as error:  # the disk's, not the network's: trying again would not help
            raise Failed(f"The model cannot be stored: {error.strerror}.") from error
        self._sha.update(chunk)
        self.offset += len(chunk)
        self._advance(self.offset / self.num_bytes)

    def _store(self, chunk: memoryview) -> None:
        self._file.write(chunk)
        at = self.offset + len(chunk)
        if self._mark and at - self._marked >= MARK_BYTES:
            self._file.flush()
            self._mark_at(at)
        killpoints.reached(killpoints.Point.DOWNLOAD_HALF_READ)

    def _mark_at(self, offset: int) -> None:
        if self._mark:
            self._mark.write_text(str(offset))
            self._marked = offset

    def _read_what_is_there(self) -> None:
        written = self._written()
        while chunk := self._file.read(min(1 << 20, written - self.offset)):
            self._sha.update(chunk)
            self.offset += len(chunk)
        if self.offset > self.num_bytes:
            self.restart()

    def _written(self) -> int:
        if self._mark is None:
            return os.fstat(self._file.fileno()).st_size
        with contextlib.suppress(ValueError):  # killed while it was written
            return int(self._mark.read_text())
        return 0
