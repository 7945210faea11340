"""How an update travels: in one PUT while it is small, else in tus parts that continue where a cut one ended.

A part counts once it arrived whole. One whose connection ended on the way is sent again half as large, so that
a connection that never lasts for a whole part is enough.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

from clientagent import calls
from clientagent.api import Api, of_seat
from clientagent.errors import Dropped, Failed
from clientagent.exchange import NO_METHOD, TOO_LARGE, Answer, FilePart, Request
from clientagent.persisting import Attempts
from clientagent.progress import Advance
from clientagent.state import Finished
from clientagent.work import Destination
from federation import killpoints

CHUNK_BYTES = 1 << 20  # after each the progress is reported
MOST_PART_BYTES = 64 << 20
LEAST_PART_BYTES = 64 << 10
PATIENCE = 10  # refusals of one part in a row
BUSY_SECONDS = 1.0
AGAIN_SECONDS, LONGEST_AGAIN_SECONDS = 1.0, 15.0  # if neither PUT nor PATCH gets through
GROW_AFTER = 16  # parts that arrived, before they are made larger again


def send(api: Api, to: Destination, update: Finished, advance: Advance) -> None:
    """Send an update and return when the server has accepted it. Raises Dropped; Failed with the server's sentence."""
    with _opened(update.path) as file:
        Upload(api, to, update, file, advance).send()


class Upload:
    """One update on its way. `send` returns once the server has accepted it."""

    def __init__(self, api: Api, to: Destination, update: Finished, file: BinaryIO, advance: Advance) -> None:
        self._api = api
        self._url = to.url
        self._update = update
        self._advance = advance
        self._part_bytes = self._most_bytes = min(to.part_bytes, MOST_PART_BYTES)
        self._arrived = 0  # parts of this size
        self._taken = 0  # bytes of the last part
        self._was_cut = False  # the connection ended while the last part was on its way
        self._file = file
        self.length = os.fstat(file.fileno()).st_size
        self._fits_in_a_put = self.length <= to.max_put_bytes

    def send(self) -> None:
        """By PUT if it fits, else by PATCH; in turns while a proxy blocks both."""
        pause = AGAIN_SECONDS
        while not (self._fits_in_a_put and self.put()) and not self.patch():
            self._api.pause(pause)
            pause = min(2 * pause, LONGEST_AGAIN_SECONDS)

    def put(self) -> bool:
        """Whole, in one request. False if it is too large for that after all, or a proxy blocks PUT."""
        answer = self._api.put(self._url, self._pieces(0, self.length), self.length, self._update.digest)
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
                if answer.status != TOO_LARGE or self._is_smallest:
                    self._api.report_stranger(calls.PATCH, answer)
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
        """Send a part until there is an answer: the server's, or a stranger's that leaves another way."""
        self._was_cut = False
        with self._api.attempts(calls.PATCH, foreign=self._foreign()) as attempts:
            while (answer := self._attempt(attempts, offset)) is None:
                attempts.wait()
        return of_seat(answer)

    def _attempt(self, attempts: Attempts, offset: int) -> Answer | None:
        """One attempt at a part. After a cut the server is asked first where it stands: 200 if that is elsewhere."""
        if self._was_cut:
            stands = attempts.once(self._api.question_for_offset(self._url))
            if stands is None or not stands.ours:
                return stands
            self._was_cut = False
            self._shrink()
            if stands.status == 200 and _offset(stands) != offset:
                return stands
        self._taken = min(self._part_bytes, self.length - offset)
        answer = attempts.once(self._request(offset))
        self._was_cut = attempts.was_cut
        return answer

    def _request(self, offset: int) -> Request:
        return self._api.part_of_update(
            self._url,
            self._pieces(offset, offset + self._taken),
            self._taken,
            offset=offset,
            length=self.length,
            digest=self._update.digest,
        )

    def _foreign(self) -> tuple[int, ...]:
        """A stranger's refusals that leave another way: smaller parts, or a PUT."""
        if self._fits_in_a_put:
            return (TOO_LARGE, *NO_METHOD)
        return () if self._is_smallest else (TOO_LARGE,)

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
        """Where to continue after the answer to a part."""
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

    def _pieces(self, start: int, stop: int) -> Pieces:
        return Pieces(self._file, start, stop, self.length, self._advance)


@dataclass(frozen=True, slots=True)
class Pieces:
    """The bytes of a file from `start` to `stop`, to be iterated over once for each attempt, with word of how far."""

    file: BinaryIO
    start: int
    stop: int
    length: int  # of the whole file
    advance: Advance

    def __iter__(self) -> Iterator[FilePart]:
        for offset in range(self.start, self.stop, CHUNK_BYTES):
            self.advance(offset / self.length)
            yield FilePart(self.file, offset, min(CHUNK_BYTES, self.stop - offset))
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
