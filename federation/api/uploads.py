"""`/api/v1/participations/<id>/update`: one PUT for a small update, tus 1.0 parts for any other.

Parts go straight to a file, so that memory depends neither on the model nor on the number of clients. Where
an upload stands is a number in the database, moved after each part; the file may be longer where a process
was killed, and is cut back to the number. The last part is counted only once the whole update is accepted.
"""

from __future__ import annotations

import asyncio
import base64
import fcntl
import hashlib
import os
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from django.conf import settings
from django.utils import timezone

from federation import killpoints, parsing, storage, tasks
from federation.api.auth import client_in, principal_of
from federation.api.raw import Disconnected, Exchange
from federation.api.threads import at_length, in_thread
from federation.errors import ChecksumMismatch, Conflict, Invalid, Locked, Refused, TooLarge
from federation.lifecycle import COUNTED
from federation.models import Participation
from federation.services import rounds, seats
from federation.services.seats import updates

TUS = {"Tus-Resumable": "1.0.0"}
LOCK_SECONDS = 1.0
SHORT_BYTES = 1 << 20  # an update up to this size is checked in a moment
SPARE_BYTES = 1 << 20  # an update may be larger than its model by its metadata
DIGEST_FIELD = re.compile(r"sha-256=:([A-Za-z0-9+/=]+):")
CHECKSUMS = {"sha1": hashlib.sha1, "sha256": hashlib.sha256}


class PreconditionFailed(Refused):
    status = 412
    title = "Another version of tus"


class UnsupportedType(Refused):
    status = 415
    title = "Another content type is needed"


class Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


# ---- PUT


async def put(exchange: Exchange) -> None:
    """The whole update in one request."""
    exchange.extra_headers = TUS
    seat = await in_thread(_seat, exchange.headers, int(exchange.path["seat_id"]))
    length = parsing.whole(exchange.headers.get("content-length", ""))
    if length is not None and length > settings.FL_MAX_PUT_BYTES:
        raise _too_large_to_put(length)
    digest = _sha256(exchange.headers, "content-digest")
    with storage.scratch() as file:
        if (body := exchange.take_body()) is not None:
            _save_at_once(body, file)
            await _take_in(exchange, seat, file, len(body), digest)
        else:
            with _going_on(exchange, seat):
                size = await _save(exchange, file)
                await _take_in(exchange, seat, file, size, digest)


async def _take_in(exchange: Exchange, seat: Participation, file: Path, size: int, digest: str | None) -> None:
    try:
        await (at_length if size > SHORT_BYTES else in_thread)(_receive, seat, file, digest)
    except ChecksumMismatch as error:
        raise Invalid(("Content-Digest", str(error))) from None
    await exchange.answer(204)


def _save_at_once(body: bytes, file: Path) -> None:
    """Write a body that is here already. Its sender is checked once more when it is taken in."""
    if len(body) > settings.FL_MAX_PUT_BYTES:
        raise _too_large_to_put(len(body))
    storage.require_room(len(body))
    with storage.refusing_when_full():
        file.write_bytes(body)


def _going_on(exchange: Exchange, seat: Participation) -> AbstractContextManager[None]:
    return exchange.going_on_as(principal_of(exchange.headers, seat.client))


async def _save(exchange: Exchange, file: Path) -> int:
    """Write the body to a file. Returns its size."""
    size, more = 0, True
    storage.require_room(_declared(exchange))
    with storage.refusing_when_full(), file.open("wb") as out:
        while more:
            data, more = await exchange.chunk()
            size += len(data)
            if size > settings.FL_MAX_PUT_BYTES:
                raise _too_large_to_put(size)
            storage.require_room(len(data))
            out.write(data)
    return size


def _too_large_to_put(size: int) -> TooLarge:
    return TooLarge(
        f"{size} bytes are more than a PUT may carry ({settings.FL_MAX_PUT_BYTES}). "
        "Send the update by tus 1.0: PATCH this URL in parts."
    )


# ---- tus


async def create(exchange: Exchange) -> None:
    """tus creation: begin an upload, or begin it again."""
    seat = await _tus_seat(exchange)
    length = _number(exchange.headers, "upload-length")
    if length is None and exchange.headers.get("upload-defer-length") != "1":
        raise Invalid(("Upload-Length", "Say the size in Upload-Length, or Upload-Defer-Length: 1."))
    _check_length(seat, length)
    storage.require_room(length or 0)
    async with _locked(seat) as upload:
        await in_thread(_begin, seat, upload, length)
    location = f"/api/v1/participations/{seat.pk}/update"
    await exchange.answer(201, {"Location": location, "Upload-Offset": "0"})


async def head(exchange: Exchange) -> None:
    """tus core: where the upload stands."""
    seat = await _tus_seat(exchange)
    if storage.upload_path(seat.pk).exists():
        with suppress(Locked):  # a part is under way: what was noted before it is true
            async with _locked(seat):
                await in_thread(seat.refresh_from_db, fields=["upload_offset", "upload_length", "status", "num_bytes"])
    headers = {"Upload-Offset": str(_offset(seat)), "Cache-Control": "no-store"}
    length = seat.num_bytes if seat.status in COUNTED else seat.upload_length
    headers |= {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
    await exchange.answer(200, headers)


async def patch(exchange: Exchange) -> None:
    """tus core: the next part. The last one answers as the PUT does."""
    seat = await _tus_seat(exchange)
    if exchange.headers.get("content-type") != "application/offset+octet-stream":
        raise UnsupportedType("A part is sent as Content-Type: application/offset+octet-stream.")
    checksum = _checksum(exchange.headers.get("upload-checksum", ""))
    offset = _number(exchange.headers, "upload-offset")
    with _going_on(exchange, seat):
        await _take_part(exchange, seat, checksum, offset)


async def _take_part(exchange: Exchange, seat: Participation, checksum: Checksum | None, offset: int | None) -> None:
    async with _locked(seat) as upload:
        await in_thread(seat.refresh_from_db, fields=["upload_offset", "upload_length", "status"])
        stands = _offset(seat)
        if offset != stands:
            raise Conflict(f"The upload stands at {stands}, not at {offset}.", headers={"Upload-Offset": str(stands)})
        if seat.status in COUNTED:
            await _nothing_left(exchange, stands)
            return
        length = _agreed_length(seat, exchange.headers)
        if not stands:
            await in_thread(_give_up_others, seat)
        limit = length if length is not None else _largest(seat)
        stands, cut = await _append(exchange, upload, stands, limit, checksum)
        if cut or stands != length:
            await in_thread(_note, seat, stands, length)
        else:
            os.ftruncate(upload.handle, stands)  # a killed process may have left more
            await _finish(seat, upload, _sha256(exchange.headers, "repr-digest"))
    if cut:
        raise Disconnected
    await exchange.answer(204, {"Upload-Offset": str(stands)})


async def options(exchange: Exchange) -> None:
    capabilities = {
        "Tus-Version": "1.0.0",
        "Tus-Extension": "creation,creation-defer-length,checksum",
        "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
    }
    await exchange.answer(204, TUS | capabilities)


async def _tus_seat(exchange: Exchange) -> Participation:
    exchange.extra_headers = TUS
    asked = exchange.headers.get("tus-resumable", "1.0.0")
    if asked != "1.0.0":
        raise PreconditionFailed(
            f"tus {parsing.shortened(asked)} is not spoken here; use 1.0.0.", headers={"Tus-Version": "1.0.0"}
        )
    return await in_thread(_seat, exchange.headers, int(exchange.path["seat_id"]))


async def _nothing_left(exchange: Exchange, stands: int) -> None:
    """The answer to a part for an update that was accepted already: an empty one fits, any other does not."""
    data, more = await exchange.chunk()
    if data or more:
        raise Conflict("This update is complete and accepted already.", headers={"Upload-Offset": str(stands)})
    await exchange.answer(204, {"Upload-Offset": str(stands)})


async def _append(
    exchange: Exchange, upload: Upload, start: int, limit: int, checksum: Checksum | None
) -> tuple[int, bool]:
    """Write the body at `start`. Returns where the upload stands then, and whether the caller was cut off.

    A part with a checksum counts only whole and only if it fits; of one without, what arrived is kept.
    """
    digest = checksum.algorithm() if checksum else None
    at, more = start, True
    if start + _declared(exchange) > limit:
        raise _beyond(limit)
    storage.require_room(_declared(exchange))
    with upload.without_a_rest(start), storage.refusing_when_full():
        while more:
            try:
                data, more = await exchange.chunk()
            except Disconnected:
                return (start if digest else at), True
            if at + len(data) > limit:
                raise _beyond(limit)
            storage.require_room(len(data))
            upload.write(data, at)
            killpoints.reached(killpoints.Point.PART_HALF_WRITTEN)
            at += len(data)
            if digest:
                digest.update(data)
    if digest and checksum and digest.digest() != checksum.value:
        raise ChecksumMismatch("The part does not fit its Upload-Checksum; nothing of it was kept.")
    return at, False


def _declared(exchange: Exchange) -> int:
    """The declared size of the body; 0 if there is none."""
    return parsing.whole(exchange.headers.get("content-length", "")) or 0


def _beyond(limit: int) -> TooLarge:
    return TooLarge(f"The part exceeds the {limit} bytes that the upload may have.")


async def _finish(seat: Participation, upload: Upload, digest: str | None) -> None:
    """The whole update is here: take it in, or begin again at 0 where it was refused."""
    try:
        await at_length(_receive, seat, upload.path, digest)
    except (Invalid, ChecksumMismatch):
        await in_thread(_begin, seat, upload, None)
        raise


def _agreed_length(seat: Participation, headers: dict[str, str]) -> int | None:
    """The upload's whole size, said at its creation or with a part; None where it was never said."""
    given = _number(headers, "upload-length")
    if given is not None and seat.upload_length not in (None, given):
        raise Conflict(f"The upload's length is {seat.upload_length}; it cannot become {given}.")
    _check_length(seat, given)
    return seat.upload_length if given is None else given


def _check_length(seat: Participation, length: int | None) -> None:
    if length is not None and length > _largest(seat):
        raise TooLarge(f"An update of {length} bytes cannot belong to this model; the limit is {_largest(seat)}.")


def _largest(seat: Participation) -> int:
    """How many bytes an update for this seat's model can have."""
    return updates.most_bytes(seat) + SPARE_BYTES


# ---- the file of an unfinished upload


@dataclass(frozen=True, slots=True)
class Upload:
    path: Path
    handle: int

    def write(self, data: bytes, at: int) -> None:
        while data:
            written = os.pwrite(self.handle, data, at)
            data, at = data[written:], at + written

    @contextmanager
    def without_a_rest(self, start: int) -> Iterator[None]:
        """If what is written in this block is refused, remove it from the disk."""
        try:
            yield
        except Refused:
            os.ftruncate(self.handle, start)
            raise


@asynccontextmanager
async def _locked(seat: Participation) -> AsyncIterator[Upload]:
    """The seat's upload file, for one writer at a time over all processes of this machine."""
    path = storage.upload_path(seat.pk)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        await _lock(handle)
        yield Upload(path, handle)
    finally:
        os.close(handle)


async def _lock(handle: int) -> None:
    """Wait a moment for a request that was cut off and notes how far it came. Raises Locked."""
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise Locked("Another request is sending this update right now.") from None
            await asyncio.sleep(0.01)
        else:
            return


def _offset(seat: Participation) -> int:
    """Where the upload stands. A file that is shorter than noted was lost: it begins again."""
    if seat.status in COUNTED:
        return seat.num_bytes
    path = storage.upload_path(seat.pk)
    kept = path.stat().st_size if path.exists() else 0
    return seat.upload_offset if kept >= seat.upload_offset else 0


def _begin(seat: Participation, upload: Upload, length: int | None) -> None:
    _give_up_others(seat)
    _note(seat, 0, length)
    os.ftruncate(upload.handle, 0)


def _give_up_others(seat: Participation) -> None:
    """A client sends one update at a time: remove half uploads for its other seats."""
    others = Participation.objects.filter(client=seat.client_id, upload_offset__gt=0).exclude(pk=seat.pk)
    left = list(others.exclude(status__in=COUNTED).values_list("pk", flat=True))
    if left:
        Participation.objects.filter(pk__in=left).update(upload_offset=0, upload_length=None)
        for pk in left:
            storage.upload_path(pk).unlink(missing_ok=True)


def _note(seat: Participation, offset: int, length: int | None) -> None:
    seat.upload_offset, seat.upload_length = offset, length
    seat.save(update_fields=["upload_offset", "upload_length"])


# ---- both


def _seat(headers: dict[str, str], seat_id: int) -> Participation:
    seat = seats.of(client_in(headers), seat_id)
    updates.check_receivable(seat)
    return seat


def _receive(seat: Participation, file: Path, digest: str | None) -> None:
    """Take a finished file in, and say so to whoever advances the session."""
    if updates.receive(seat, file, digest=digest, now=timezone.now()):
        killpoints.reached(killpoints.Point.UPDATE_ACCEPTED)
        if rounds.may_move(seat.round_id):
            tasks.advance.delay(seat.round.session_id)
    killpoints.reached(killpoints.Point.ANSWER_LOST)


def _sha256(headers: dict[str, str], name: str) -> str | None:
    """The hexadecimal SHA-256 in a digest field (RFC 9530). Other algorithms are not looked at."""
    match = DIGEST_FIELD.search(headers.get(name, ""))
    return _base64(match[1]).hex() if match else None


@dataclass(frozen=True, slots=True)
class Checksum:
    name: str
    value: bytes

    def algorithm(self) -> Hash:
        return CHECKSUMS[self.name]()


def _checksum(header: str) -> Checksum | None:
    """tus' Upload-Checksum: an algorithm and a digest in base64."""
    if not header:
        return None
    name, _, value = header.partition(" ")
    if name not in CHECKSUMS:
        raise Invalid(
            ("Upload-Checksum", f"The algorithm {parsing.shortened(name)} is not known; use {' or '.join(CHECKSUMS)}.")
        )
    return Checksum(name, _base64(value))


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:  # text that is not ASCII raises it, too
        raise Invalid(("digest", f"{text[:80]!r} is not base64.")) from None


def _number(headers: dict[str, str], name: str) -> int | None:
    value = headers.get(name, "")
    number = parsing.whole(value)
    if value and number is None:
        raise Invalid((name, f"{name} is {parsing.shortened(value)}; a whole number is needed."))
    return number
