"""How an update travels: in one PUT while it is small, else in tus parts that go on where a cut one ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from clientagent.api import Api
from clientagent.connection import Answer
from clientagent.errors import Dropped, Failed
from clientagent.progress import Advance
from clientagent.state import Finished
from clientagent.work import Work
from federation import killpoints

CHUNK_BYTES = 256 << 10
MOST_PART_BYTES = 16 << 20  # one part is held in memory
LEAST_PART_BYTES = 64 << 10
PATIENCE = 10  # refusals of one part in a row
BUSY_SECONDS = 1.0


def send(api: Api, work: Work, update: Finished, advance: Advance) -> None:
    """Send an update and return when the server has accepted it. Raises Dropped; Failed with the server's sentence."""
    upload = Upload(api, work, update, advance)
    if upload.length > work.max_put_bytes or not upload.put():
        upload.patch()


class Upload:
    def __init__(self, api: Api, work: Work, update: Finished, advance: Advance) -> None:
        self._api = api
        self._url = work.update_url
        self._update = update
        self._advance = advance
        self._part_bytes = min(work.part_bytes, MOST_PART_BYTES)
        self.length = update.path.stat().st_size

    def put(self) -> bool:
        """Whole, in one request. False if it is too large for that after all."""
        whole = _read(self._update.path, 0, self.length)
        answer = self._api.put(self._url, lambda: self._chunks(whole, 0), self.length, self._update.digest)
        if answer.status not in (204, 413):
            self._refuse(answer)
        return answer.status == 204

    def patch(self) -> None:
        """In parts, from where the server is. It counts the last part once it has accepted the whole."""
        offset = furthest = self._begin()
        refusals = 0
        while offset < self.length:
            part = _read(self._update.path, offset, min(self._part_bytes, self.length - offset))
            answer = self._part(part, offset)
            offset = self._next(answer, offset, len(part))
            if offset > furthest or answer.status == 423:
                furthest, refusals = max(offset, furthest), 0
            elif answer.status != 204:
                refusals += 1
            if refusals >= PATIENCE:
                raise Failed(f"The server refused a part of the update {refusals} times ({answer.status}).")

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

    def _part(self, part: memoryview, offset: int) -> Answer:
        digest = self._update.digest
        return self._api.patch(self._url, lambda: self._chunks(part, offset), len(part), offset, self.length, digest)

    def _next(self, answer: Answer, offset: int, sent: int) -> int:
        """Where to go on after the answer to a part."""
        match answer.status:
            case 204:
                return offset + sent
            case 409 if "upload-offset" in answer.headers:
                return _offset(answer)
            case 423:
                self._api.pause(max(BUSY_SECONDS, 2 * answer.retry_after))
                return _offset(self._head())
            case 413 if self._part_bytes > LEAST_PART_BYTES:
                self._part_bytes //= 2  # a proxy on the way may take less than the server
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

    def _chunks(self, part: memoryview, offset: int) -> Iterator[memoryview]:
        for start in range(0, len(part), CHUNK_BYTES):
            self._advance((offset + start) / self.length)
            yield part[start : start + CHUNK_BYTES]
            killpoints.reached(killpoints.Point.PART_HALF_SENT)


def _offset(answer: Answer) -> int:
    text = answer.headers.get("upload-offset", "")
    return int(text) if text.isdecimal() else 0


def _read(path: Path, offset: int, count: int) -> memoryview:
    """A part of the update. Raises Failed, for an unreadable disk is not a network that is away."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return memoryview(file.read(count))
    except OSError as error:
        raise Failed(f"The update cannot be read: {error.strerror}.") from error
