"""tus 1.0: the update in parts."""

from __future__ import annotations

import os
from contextlib import suppress

from federation import killpoints, parsing, storage
from federation.api.raw import Disconnected, Exchange
from federation.api.threads import at_length, in_thread
from federation.api.uploads.headers import CHECKSUMS, TUS, Checksum, number_in, parse_checksum, sha256_in
from federation.api.uploads.receiving import declared_bytes, going_on, receivable_seat, receive
from federation.api.uploads.unfinished import Upload, begin, give_up_others, locked, note, offset_of, write_over
from federation.errors import ChecksumMismatch, Conflict, Invalid, Locked, Refused, TooLarge
from federation.models import Participation
from federation.services.seats import updates

SPARE_BYTES = 1 << 20  # an update may be larger than its model by its metadata


class PreconditionFailed(Refused):
    status = 412
    title = "Another version of tus"


class UnsupportedType(Refused):
    status = 415
    title = "Another content type is needed"


async def create(exchange: Exchange) -> None:
    """tus creation: begin an upload, or begin it again."""
    seat = await _tus_seat(exchange)
    length = number_in(exchange.headers, "upload-length")
    if length is None and exchange.headers.get("upload-defer-length") != "1":
        raise Invalid(("Upload-Length", "Say the size in Upload-Length, or Upload-Defer-Length: 1."))
    _check_length(seat, length)
    storage.require_room(length or 0)
    async with locked(seat) as upload:
        await in_thread(begin, seat, upload, length)
    location = f"/api/v1/participations/{seat.pk}/update"
    await exchange.answer(201, {"Location": location, "Upload-Offset": "0"})


async def head(exchange: Exchange) -> None:
    """tus core: where the upload stands."""
    seat = await _tus_seat(exchange)
    if storage.upload_path(seat.pk).exists():
        with suppress(Locked):  # a part is under way: what was noted before it is true
            async with locked(seat):
                await in_thread(
                    seat.refresh_from_db, fields=["upload_offset", "upload_length", "status", "reason", "num_bytes"]
                )
    headers = {"Upload-Offset": str(offset_of(seat)), "Cache-Control": "no-store"}
    length = seat.num_bytes if seat.is_accepted else seat.upload_length
    headers |= {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
    await exchange.answer(200, headers)


async def patch(exchange: Exchange) -> None:
    """tus core: the next part. The last one answers as the PUT does."""
    seat = await _tus_seat(exchange)
    if exchange.headers.get("content-type") != "application/offset+octet-stream":
        raise UnsupportedType("A part is sent as Content-Type: application/offset+octet-stream.")
    checksum = parse_checksum(exchange.headers.get("upload-checksum", ""))
    offset = number_in(exchange.headers, "upload-offset")
    with going_on(exchange, seat):
        await _take_part(exchange, seat, checksum, offset)


async def _take_part(exchange: Exchange, seat: Participation, checksum: Checksum | None, offset: int | None) -> None:
    async with locked(seat) as upload:
        await in_thread(seat.refresh_from_db, fields=["upload_offset", "upload_length", "status", "reason"])
        stands = offset_of(seat)
        if offset != stands:
            raise Conflict(f"The upload stands at {stands}, not at {offset}.", headers={"Upload-Offset": str(stands)})
        if seat.is_accepted:
            await _nothing_left(exchange, stands)
            return
        length = _agreed_length(seat, exchange.headers)
        digest = sha256_in(exchange.headers, "repr-digest")
        if not stands:
            await in_thread(give_up_others, seat)
            if digest and length is not None:  # with a digest not even a power cut can pass off what was there before
                await in_thread(write_over, seat, upload, length)
        limit = length if length is not None else _largest(seat)
        with storage.room_for(upload.path, min(limit, stands + (declared_bytes(exchange) or limit))):
            stands, cut = await append(exchange, upload, stands, limit, checksum)
        if cut or stands != length:
            await in_thread(note, seat, stands, length)
        else:
            os.ftruncate(upload.handle, stands)  # a killed process may have left more
            await _finish(seat, upload, digest)
    if cut:
        raise Disconnected
    await exchange.answer(204, {"Upload-Offset": str(stands)})


async def options(exchange: Exchange) -> None:
    await tell(exchange, "creation", "creation-defer-length", "checksum")


async def tell(exchange: Exchange, *extensions: str) -> None:
    """Answer which version and extensions of tus an upload's address knows."""
    capabilities = {
        "Tus-Version": "1.0.0",
        "Tus-Extension": ",".join(extensions),
        "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
    }
    await exchange.answer(204, TUS | capabilities)


async def _tus_seat(exchange: Exchange) -> Participation:
    require_tus(exchange)
    return await in_thread(receivable_seat, exchange.head, int(exchange.path["seat_id"]))


def require_tus(exchange: Exchange) -> None:
    """Say in every answer which version is spoken. Raises PreconditionFailed for another one."""
    exchange.extra_headers = TUS
    asked = exchange.headers.get("tus-resumable", "1.0.0")
    if asked != "1.0.0":
        raise PreconditionFailed(
            f"tus {parsing.shortened(asked)} is not spoken here; use 1.0.0.", headers={"Tus-Version": "1.0.0"}
        )


async def _nothing_left(exchange: Exchange, stands: int) -> None:
    """The answer to a part for an update that was accepted already: an empty one fits, any other does not."""
    data, more = await exchange.chunk()
    if data or more:
        raise Conflict("This update is complete and accepted already.", headers={"Upload-Offset": str(stands)})
    await exchange.answer(204, {"Upload-Offset": str(stands)})


async def append(
    exchange: Exchange, upload: Upload, start: int, limit: int, checksum: Checksum | None
) -> tuple[int, bool]:
    """Write the body at `start`. Returns where the upload stands then, and whether the caller was cut off.

    A part with a checksum counts only whole and only if it fits; of one without, what arrived is kept.
    """
    digest = checksum.algorithm() if checksum else None
    at, more = start, True
    if start + declared_bytes(exchange) > limit:
        raise _beyond(limit)
    storage.require_room(declared_bytes(exchange))
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


def _beyond(limit: int) -> TooLarge:
    return TooLarge(f"The part exceeds the {limit} bytes that the upload may have.")


async def _finish(seat: Participation, upload: Upload, digest: str | None) -> None:
    """The whole update is here: take it in, or begin again at 0 where it was refused."""
    try:
        await at_length(receive, seat, upload.path, digest)
    except (Invalid, ChecksumMismatch):
        await in_thread(begin, seat, upload, None)
        raise


def _agreed_length(seat: Participation, headers: dict[str, str]) -> int | None:
    """The upload's whole size, said at its creation or with a part; None where it was never said."""
    given = number_in(headers, "upload-length")
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
