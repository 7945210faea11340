"""PUT: the whole update in one request."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from federation import parsing, storage
from federation.api.raw import Exchange
from federation.api.threads import at_length, in_thread
from federation.api.uploads.headers import TUS, sha256_in
from federation.api.uploads.receiving import declared_bytes, going_on, receivable_seat, receive
from federation.errors import ChecksumMismatch, Invalid, TooLarge
from federation.models import Participation

SHORT_BYTES = 1 << 20  # an update up to this size is checked in a moment


async def put(exchange: Exchange) -> None:
    """The whole update in one request."""
    exchange.extra_headers = TUS
    seat = await in_thread(receivable_seat, exchange.head, int(exchange.path["seat_id"]))
    length = parsing.whole(exchange.headers.get("content-length", ""))
    if length is not None and length > settings.FL_MAX_PUT_BYTES:
        raise _too_large_to_put(length)
    digest = sha256_in(exchange.headers, "content-digest")
    with storage.scratch() as file:
        if (body := exchange.take_body()) is not None:
            _save_at_once(body, file)
            await _take_in(exchange, seat, file, len(body), digest)
        else:
            with going_on(exchange, seat):
                with storage.room_for(file, declared_bytes(exchange) or settings.FL_MAX_PUT_BYTES):
                    size = await _save(exchange, file)
                await _take_in(exchange, seat, file, size, digest)


async def _take_in(exchange: Exchange, seat: Participation, file: Path, size: int, digest: str | None) -> None:
    try:
        await (at_length if size > SHORT_BYTES else in_thread)(receive, seat, file, digest)
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


async def _save(exchange: Exchange, file: Path) -> int:
    """Write the body to a file. Returns its size."""
    size, more = 0, True
    storage.require_room(declared_bytes(exchange))
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
