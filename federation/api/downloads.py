"""`GET /api/v1/models/<digest>`: weights in pieces, never whole in memory.

With `FL_ACCEL_REDIRECT` nginx sends the file: we look whether the caller may have it and whether it is whole, and
name it in `X-Accel-Redirect`. Ranges are nginx's then.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from pathlib import Path

from django.conf import settings
from django.db.models import Exists

from federation import killpoints, storage, tasks
from federation.api.auth import KEY_PREFIX, bearer, browser_user, client_in, operator_of, principal_of
from federation.api.head import Head
from federation.api.raw import Exchange, bytes_at_a_time
from federation.api.threads import at_length, in_thread, one_by_one
from federation.compiled import Select
from federation.errors import Gone, NotFound, Refused, Unauthorized, Unavailable
from federation.fl.strategies import STRATEGIES
from federation.lifecycle import FileStatus
from federation.models import GlobalModel, Participation
from federation.services import conversions
from federation.services.models import damage
from federation.services.standing import Principal

MOST_WAITING = 8  # callers that wait for a conversion
SENDFILE_BYTES = 1 << 20  # at a time, so that other connections get their turn
SENDING = tuple(name for name, strategy in STRATEGIES.items() if strategy.sends)
AT_ONCE = 64 << 10  # bytes that are sent in one message, so that nothing waits for the reader
RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


class RangeNotSatisfiable(Refused):
    status = 416
    title = "No such range"


async def get_model(exchange: Exchange) -> None:
    """Also HEAD. To an operator, and to a client that holds or held a seat on the model."""
    digest = exchange.path["digest"]
    caller = await _permitted(exchange.head, digest)
    etag = f'"{digest}"'
    exchange.extra_headers = {
        "ETag": etag,
        "Cache-Control": "private, max-age=31536000, immutable",
        "Accept-Ranges": "bytes",
    }
    if _matches(exchange.headers.get("if-none-match", ""), etag):
        await exchange.answer(304)
        return
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f'attachment; filename="model-{digest[:12]}.safetensors"',
    }
    if settings.FL_ACCEL_REDIRECT:
        where = storage.path(digest).relative_to(settings.FL_WEIGHTS_DIR).as_posix()
        await exchange.answer(200, headers | {"X-Accel-Redirect": f"{settings.FL_ACCEL_REDIRECT}{where}"})
        return
    with storage.local(digest) as file:
        await _send(exchange, caller, file, etag, headers)


async def get_state_dict(exchange: Exchange) -> None:
    """The same weights as a PyTorch state_dict, made once per model."""
    digest = exchange.path["digest"]
    caller = await _permitted(exchange.head, digest)
    with exchange.going_on_as(caller):
        file = await in_thread(conversions.kept, digest) or await _converted(digest)
    etag = f'"{digest}-pt"'
    exchange.extra_headers = {"ETag": etag, "Accept-Ranges": "bytes"}
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f'attachment; filename="model-{digest[:12]}.pt"',
    }
    await _send(exchange, caller, file, etag, headers)


async def _converted(digest: str) -> Path:
    global _waiting
    if _waiting >= MOST_WAITING:
        raise Unavailable("Too many models are being converted. Try again in 5 s.", headers={"Retry-After": "5"})
    _waiting += 1
    try:
        return await one_by_one(conversions.make, digest)
    finally:
        _waiting -= 1


_waiting = 0  # callers that wait for a conversion


async def _send(exchange: Exchange, caller: Principal, file: Path, etag: str, headers: dict[str, str]) -> None:
    """Send a file, or the part of it that was asked for."""
    size = file.stat().st_size
    start, stop, partial = _range(exchange.headers, etag, size)
    headers["Content-Length"] = str(stop - start)
    if partial:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    await exchange.begin(206 if partial else 200, headers)
    if exchange.method == "HEAD":
        await exchange.send(b"", last=True)
    elif stop - start <= AT_ONCE:
        await _send_at_once(exchange, file, start, stop)
    else:
        with exchange.going_on_as(caller):
            await _stream(exchange, file, start, stop)


async def _send_at_once(exchange: Exchange, file: Path, start: int, stop: int) -> None:
    with file.open("rb", buffering=0) as handle:
        handle.seek(start)
        await exchange.send(handle.read(stop - start), last=True)


_streaming: set[Exchange] = set()


async def _stream(exchange: Exchange, file: Path, start: int, stop: int) -> None:
    handle = os.open(file, os.O_RDONLY)
    _streaming.add(exchange)
    try:
        while start < stop:
            if exchange.sends_files:
                size = min(SENDFILE_BYTES, stop - start)
                await exchange.send_file(handle, start, size, last=start + size >= stop)
                start += size
            else:
                chunk = os.pread(handle, min(bytes_at_a_time(len(_streaming)), stop - start), start)
                start += len(chunk)
                await exchange.send(chunk, last=start >= stop)
            killpoints.reached(killpoints.Point.DOWNLOAD_HALF_SENT)
    finally:
        _streaming.discard(exchange)
        os.close(handle)


_with_digest = Select(lambda digest: GlobalModel.objects.filter(digest=digest).only("file_status").order_by(), str)
_slots_with_digest = Select(  # what a strategy keeps with a model, where it sends that to clients
    lambda digest: (
        GlobalModel.objects.filter(slots_digest=digest, session__strategy__in=SENDING).only("file_status").order_by()
    ),
    str,
)
_slots_for_client = Select(
    lambda digest, client: (
        GlobalModel.objects.filter(slots_digest=digest, session__strategy__in=SENDING)
        .filter(Exists(Participation.objects.filter(client=client, round__base_model__slots_digest=digest)))
        .only("file_status")
        .order_by()
    ),
    str,
    int,
)
_for_client = Select(  # the same, if the client holds or held a seat on one of them
    lambda digest, client: (
        GlobalModel.objects.filter(digest=digest)
        .filter(Exists(Participation.objects.filter(client=client, round__base_model__digest=digest)))
        .only("file_status")
        .order_by()
    ),
    str,
    int,
)


async def _permitted(head: Head, digest: str) -> Principal:
    """The caller. The model's file is sound.

    Raises NotFound both for an unknown model and for one that the caller may not have.
    """
    doubted = "no-cache" in head.headers.get("cache-control", "")
    caller, known, seen_whole = await in_thread(_found, head, digest)
    if doubted or not seen_whole or FileStatus.STORED not in known:
        await at_length(_require_sound, digest, known, doubted=doubted)
    return caller


def _found(head: Head, digest: str) -> tuple[Principal, set[str], bool]:
    """The caller, the states of the file by the model's rows, and whether this process saw the file whole."""
    token, client = bearer(head.headers), None
    if token is None and browser_user(head.headers) is None:
        raise Unauthorized("This needs the header Authorization: Bearer <token>, or a signed-in browser.")
    if token is None or token.startswith(KEY_PREFIX):
        if token:
            operator_of(token, head)
        found = _with_digest(digest) or _slots_with_digest(digest)
    else:
        client = client_in(head)
        found = _for_client(digest, client.pk) or _slots_for_client(digest, client.pk)
    if not found:
        raise NotFound(f"There is no model {digest[:12]}… for you.")
    return principal_of(head.headers, client), {model.file_status for model in found}, storage.was_whole(digest)


def _require_sound(digest: str, known: Collection[str], *, doubted: bool) -> None:
    """Serve nothing that does not fit its digest: have it made again.

    known: what its rows say of the file. doubted: by Cache-Control: no-cache, with which somebody asks again
    whom a damaged file reached.
    """
    if FileStatus.STORED in known:
        if storage.is_sound(digest, doubted=doubted):
            return
        for session_id in damage.note([digest]):
            tasks.advance.delay(session_id)
    elif FileStatus.DAMAGED not in known:
        why = "was removed by retention" if FileStatus.REMOVED in known else "was damaged and could not be made again"
        raise Gone(f"The file of model {digest[:12]}… {why}.")
    later = {"Retry-After": "1"}
    raise Unavailable(f"The file of model {digest[:12]}… is damaged and is being made again.", headers=later)


def _matches(condition: str, etag: str) -> bool:
    candidates = {part.strip().removeprefix("W/") for part in condition.split(",")}
    return "*" in candidates or etag in candidates


def _range(headers: dict[str, str], etag: str, size: int) -> tuple[int, int, bool]:
    """Start, end (exclusive) and whether it is a part. What is not one range of bytes is the whole (RFC 9110)."""
    match = RANGE.fullmatch(headers.get("range", "").strip())
    if match is None or match.groups() == ("", "") or headers.get("if-range", etag) != etag:
        return 0, size, False
    first, last = match.groups()
    if first:
        start, stop = int(first), min(int(last) + 1, size) if last else size
    else:
        start, stop = max(0, size - int(last)), size
    if start >= stop:
        raise RangeNotSatisfiable(
            f"The model has {size} bytes; the range begins at {start}.", headers={"Content-Range": f"bytes */{size}"}
        )
    return start, stop, True
