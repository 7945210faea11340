"""How an update travels: in one PUT while it is small, else in tus parts that go on where a cut one ended.

A part counts once it arrived whole. One whose connection ended on the way is sent again half as large, so that
a connection that never lasts for a whole part is enough.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NoReturn

from clientagent import strangers
from clientagent.api import Api
from clientagent.connection import Answer, FilePart
from clientagent.errors import Dropped, Failed
from clientagent.progress import Advance
from clientagent.state import Finished
from clientagent.work import Work
from federation import killpoints

CHUNK_BYTES = 1 << 20  # after each it is told how far the upload is
MOST_PART_BYTES = 64 << 20
LEAST_PART_BYTES = 64 << 10
PATIENCE = 10  # refusals of one part in a row
BUSY_SECONDS = 1.0
AGAIN_SECONDS, LONGEST_AGAIN_SECONDS = 1.0, 15.0  # if neither PUT nor PATCH gets through
GROW_AFTER = 16  # parts that arrived, before they are made larger again


def send(api: Api, work: Work, update: Finished, advance: Advance) -> None:
    """Send an update and return when the server has accepted it. Raises Dropped; Failed with the server's sentence."""
    with _opened(update.path) as file:
        Upload(api, work, update, file, advance).send()


class Upload:
    def __init__(self, api: Api, work: Work, update: Finished, file: BinaryIO, advance: Advance) -> None:
        self._api = api
        self._url = work.update_url
        self._update = update
        self._advance = advance
        self._part_bytes = self._most_bytes = min(work.part_bytes, MOST_PART_BYTES)
        self._arrived = 0  # parts of this size
        self._taken = 0  # bytes of the last part
        self._file = file
        self.length = os.fstat(file.fileno()).st_size
        self._fits_in_a_put = self.length <= work.max_put_bytes

    def send(self) -> None:
        """By PUT if it fits, else by PATCH; in turns while a proxy blocks both."""
        pause = AGAIN_SECONDS
        while not (self._fits_in_a_put and self.put()) and not self.patch():
            self._api.pause(pause)
            pause = min(2 * pause, LONGEST_AGAIN_SECONDS)

    def put(self) -> bool:
        """Whole, in one request. False if it is too large for that after all, or a proxy blocks PUT."""
        digest = self._update.digest
        answer = self._api.put(self._url, lambda: self._pieces(0, self.length), self.length, digest)
        if answer.ours and answer.status not in (204, 413):
            self._refuse(answer)
        return answer.status == 204

    def patch(self) -> bool:
        """In parts, from where the server is. It counts the last part once it has accepted the whole.

        Of an update that was just made the server can have nothing, unless this site forgot that it sent another.
        False if a proxy blocks PATCH and the whole fits in a PUT.
        """
        asked = self._update.kept
        offset = furthest = self._begin() if asked else 0
        refusals = 0
        while offset < self.length:
            answer = self._part(offset)
            if not answer.ours:
                if answer.status != strangers.TOO_LARGE or self._is_smallest:
                    self._api.patch_is_blocked(answer)
                    return False
                self._shrink_for_good()
                continue
            if answer.status == 409 and offset == 0 and not asked:
                asked, offset = True, self._begin()
                continue
            offset = self._next(answer, offset)
            if offset > furthest or answer.status == 423:
                furthest, refusals = max(offset, furthest), 0
            elif answer.status != 204:
                refusals += 1
            if refusals >= PATIENCE:
                raise Failed(f"The server refused a part of the update {refusals} times ({answer.status}).")
        return True

    def _begin(self) -> int:
        """Where the server is with these bytes. What it has of others (the state folder was lost) begins again."""
        answer = self._head()
        offset, length = _offset(answer), answer.headers.get("upload-length", "")
        if length not in ("", str(self.length)) or (0 < offset < self.length and not self._update.kept):
            answer = self._api.create(self._url, self.length)
            if answer.status != 201:
                self._refuse(answer)
            return 0
        return offset

    def _part(self, offset: int) -> Answer:
        def take(cut: bool) -> int:
            if cut:
                self._shrink()
            self._taken = min(self._part_bytes, self.length - offset)
            return self._taken

        def body() -> Iterator[FilePart]:
            return self._pieces(offset, offset + self._taken)

        smaller = () if self._is_smallest else (strangers.TOO_LARGE,)
        foreign = (strangers.TOO_LARGE, *strangers.NO_METHOD) if self._fits_in_a_put else smaller
        return self._api.patch(self._url, take, body, offset, self.length, self._update.digest, foreign)

    @property
    def _is_smallest(self) -> bool:
        return self._part_bytes <= LEAST_PART_BYTES

    def _shrink_for_good(self) -> None:
        """A proxy on the way may accept less than the server."""
        self._shrink()
        self._most_bytes = self._part_bytes

    def _shrink(self) -> None:
        self._part_bytes, self._arrived = max(LEAST_PART_BYTES, self._part_bytes // 2), 0

    def _grow(self) -> None:
        self._arrived += 1
        if self._arrived >= GROW_AFTER and self._part_bytes < self._most_bytes:
            self._part_bytes, self._arrived = min(2 * self._part_bytes, self._most_bytes), 0

    def _next(self, answer: Answer, offset: int) -> int:
        """Where to go on after the answer to a part."""
        match answer.status:
            case 204:
                self._grow()
                return offset + self._taken
            case 200 | 409 if "upload-offset" in answer.headers:
                return _offset(answer)
            case 423:
                self._api.pause(max(BUSY_SECONDS, 2 * answer.retry_after))
                return _offset(self._head())
            case 413 if not self._is_smallest:
                self._shrink_for_good()
                return offset
            case 460:
                return _offset(self._head())  # damaged on the way; the server kept nothing of it
        self._refuse(answer)

    def _head(self) -> Answer:
        answer = self._api.offset(self._url)
        if answer.status not in (200, 204):
            raise Failed(f"The server does not say how much of the update it has ({answer.status}).")
        return answer

    def _refuse(self, answer: Answer) -> NoReturn:
        raise (Dropped if answer.status == 409 else Failed)(answer.detail)

    def _pieces(self, start: int, stop: int) -> Iterator[FilePart]:
        for offset in range(start, stop, CHUNK_BYTES):
            self._advance(offset / self.length)
            yield FilePart(self._file, offset, min(CHUNK_BYTES, stop - offset))
            killpoints.reached(killpoints.Point.PART_HALF_SENT)


def _offset(answer: Answer) -> int:
    text = answer.headers.get("upload-offset", "")
    return int(text) if text.isdecimal() else 0


def _opened(path: Path) -> BinaryIO:
    """The update's file. Raises Failed, for an unreadable disk is not a network that is away."""
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise Failed(f"The update cannot be read: {error.strerror}.") from error
