"""`/api/v1/models/uploads`: an operator sends a model's file, by tus 1.0 like a client's update."""

from __future__ import annotations

import base64
import binascii
import json
import os
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from federation import storage, tasks
from federation.access import Act
from federation.api.auth import operator_in, principal_of
from federation.api.raw import Disconnected, Exchange
from federation.api.threads import at_length, in_thread
from federation.api.uploads.headers import number_in, parse_checksum
from federation.api.uploads.parts import UnsupportedType, append, require_tus, tell
from federation.api.uploads.unfinished import Upload, opened
from federation.errors import Conflict, Invalid
from federation.models import ModelUpload
from federation.services import retention
from federation.services.models import uploads

MOST_NAME = 200


async def create(exchange: Exchange) -> None:
    """tus creation. `Upload-Metadata` may hold the file's name as `filename`."""
    require_tus(exchange)
    user = await in_thread(operator_in, exchange.head, Act.STEER_SESSIONS)
    length = number_in(exchange.headers, "upload-length")
    if length is None:
        raise Invalid(("Upload-Length", "Say the size of the file in Upload-Length."))
    storage.require_room(length)
    upload = await in_thread(_begin, _filename(exchange.headers), length, user)
    await exchange.answer(201, {"Location": f"/api/v1/models/uploads/{upload.pk}", "Upload-Offset": "0"})


async def options(exchange: Exchange) -> None:
    """Unlike an update, a model's length is said when its upload begins."""
    await tell(exchange, "creation", "checksum")


def _begin(name: str, length: int, user: User) -> ModelUpload:
    return uploads.begin(name, length, by=user, now=timezone.now())


def _filename(headers: dict[str, str]) -> str:
    """The member `filename` of tus' Upload-Metadata; empty if there is none."""
    for pair in headers.get("upload-metadata", "").split(","):
        key, _, value = pair.strip().partition(" ")
        if key == "filename":
            try:
                return base64.b64decode(value, validate=True).decode()[:MOST_NAME]
            except (ValueError, binascii.Error):
                raise Invalid(("Upload-Metadata", "The filename is not text in base64.")) from None
    return ""


async def head(exchange: Exchange) -> None:
    """tus core: where the upload stands."""
    require_tus(exchange)
    upload = await in_thread(_seen, exchange)
    length = str(upload.upload_length or 0)
    offset = str(await in_thread(_offset, upload))
    await exchange.answer(200, {"Upload-Offset": offset, "Upload-Length": length, "Cache-Control": "no-store"})


async def get(exchange: Exchange) -> None:
    """What became of it."""
    upload = await in_thread(_seen, exchange)
    await exchange.answer(200, {"Content-Type": "application/json"}, json.dumps(_row(upload)).encode())


async def delete(exchange: Exchange) -> None:
    """Remove it, with its file if nothing else needs that."""
    upload = await in_thread(_steered, exchange)
    digest = await in_thread(uploads.delete, upload)
    if digest:
        await at_length(retention.delete_unused, [digest])
    await exchange.answer(204)


async def patch(exchange: Exchange) -> None:
    """tus core: the next part. With the last one the file is checked; a file that cannot be used is 422."""
    require_tus(exchange)
    upload = await in_thread(_steered, exchange)
    if exchange.headers.get("content-type") != "application/offset+octet-stream":
        raise UnsupportedType("A part is sent as Content-Type: application/offset+octet-stream.")
    with exchange.going_on_as(principal_of(exchange.headers)):
        await _take_part(exchange, upload)


async def _take_part(exchange: Exchange, upload: ModelUpload) -> None:
    checksum = parse_checksum(exchange.headers.get("upload-checksum", ""))
    offset = number_in(exchange.headers, "upload-offset")
    async with opened(storage.model_upload_path(upload.pk)) as file:
        upload = await in_thread(uploads.of, upload.pk)  # it may have been removed meanwhile
        stands, length = await in_thread(_offset, upload), upload.upload_length or 0
        if offset != stands or stands >= length:
            raise Conflict(f"The upload stands at {stands}, not at {offset}.", headers={"Upload-Offset": str(stands)})
        stands, cut = await append(exchange, file, stands, length, checksum)
        if cut or stands < length:
            await in_thread(uploads.note, upload, stands)
        else:
            await _finish(upload, file, length)
    if cut:
        raise Disconnected
    await exchange.answer(204, {"Upload-Offset": str(stands)})


async def _finish(upload: ModelUpload, file: Upload, length: int) -> None:
    os.ftruncate(file.handle, length)  # a killed process may have left more
    await at_length(uploads.take_in, upload, file.path)
    tasks.advance_all.delay()  # the worker converts what it has to


def _seen(exchange: Exchange) -> ModelUpload:
    operator_in(exchange.head, Act.SEE, is_safe=True)
    return uploads.of(int(exchange.path["upload_id"]))


def _steered(exchange: Exchange) -> ModelUpload:
    operator_in(exchange.head, Act.STEER_SESSIONS)
    return uploads.of(int(exchange.path["upload_id"]))


def _offset(upload: ModelUpload) -> int:
    """Where it stands. A file that is shorter than noted was lost: it begins again."""
    if upload.digest:
        return upload.upload_length or 0
    path = storage.model_upload_path(upload.pk)
    kept = path.stat().st_size if path.exists() else 0
    return upload.upload_offset if kept >= upload.upload_offset else 0


def _row(upload: ModelUpload) -> dict[str, Any]:
    return {
        "id": str(upload.pk),
        "name": upload.name,
        "status": _status(upload),
        "digest": upload.digest or None,
        "num_bytes": upload.num_bytes,
        "offset": _offset(upload),
        "length": upload.upload_length,
        "buffers": upload.buffers,
        "error": upload.error or None,
    }


def _status(upload: ModelUpload) -> str:
    """`uploading`, `converting`, `refused`, or what became of the file."""
    if upload.digest:
        return upload.file_status
    if upload.error:
        return "refused"
    return "converting" if upload.upload_offset == upload.upload_length else "uploading"
