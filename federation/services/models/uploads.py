"""Files of weights that operators send, to begin sessions with. The row keeps the file in the store."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db.models import F

from federation import storage
from federation.compiled import Select
from federation.errors import Conflict, Invalid, NotFound, StorageFull, TooLarge
from federation.evaluator import Answer, evaluator
from federation.fl import weights
from federation.fl.files import uploaded
from federation.fl.weights import WeightsError
from federation.fl.workloads.layouts import layout
from federation.lifecycle import ENDED, FileStatus
from federation.models import ModelUpload, TrainingSession
from federation.payloads import printable
from federation.work import initialisation

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.db.models import QuerySet

log = logging.getLogger(__name__)
ABANDONED = timedelta(days=1)  # without having become a model


def begin(name: str, length: int, *, by: User | None, now: datetime) -> ModelUpload:
    """A place for a file of this many bytes. Raises TooLarge beyond FL_MAX_MODEL_GB, Invalid for an empty file."""
    if length > initialisation.most_bytes():
        raise TooLarge(f"The file has {length} bytes. This server takes models of up to {settings.FL_MAX_MODEL_GB} GB.")
    if length < 1:
        raise Invalid(("Upload-Length", "The file is empty."))
    return ModelUpload.objects.create(name=printable(name, 200), upload_length=length, created_at=now, created_by=by)


def of(upload_id: int) -> ModelUpload:
    upload = ModelUpload.objects.filter(pk=upload_id).first()
    if upload is None:
        raise NotFound(f"There is no upload {upload_id}.")
    return upload


def stored(digest: str) -> ModelUpload:
    """The upload that a session can begin with, of equal files the newest. Raises Invalid where there is none."""
    found = _stored().filter(digest=digest).first()
    if found is None:
        raise Invalid(("initial_model", f"There is no uploaded model with the digest {digest[:12]}…."))
    return found


def listed() -> list[ModelUpload]:
    """Those that a session can begin with, the newest first, and of equal files the newest alone."""
    found: dict[str, ModelUpload] = {}
    for upload in _stored().select_related("created_by"):
        found.setdefault(upload.digest, upload)
    return list(found.values())


def _stored() -> QuerySet[ModelUpload]:
    return ModelUpload.objects.filter(file_status=FileStatus.STORED).exclude(digest="").order_by("-pk")


def require_fit(upload: ModelUpload, workload: str, options: Mapping[str, Any]) -> None:
    """Raises Invalid, naming the tensor, for a file that is no model of a workload with these options.

    Where only a model can tell what its tensors are, the file is compared when the session starts.
    """
    expected = layout(workload, options)
    if expected is None:
        return
    try:
        with storage.local(upload.digest) as file:
            why = uploaded.misfit(expected, weights.read_header(file))
    except (OSError, WeightsError):
        why = "Its file is damaged or missing."
    if why:
        raise Invalid(("initial_model", f"The uploaded model {upload} is not one of {workload}. {why}"))


def note(upload: ModelUpload, offset: int) -> None:
    """How far it has come. A file that was refused before is being sent anew."""
    ModelUpload.objects.filter(pk=upload.pk).update(upload_offset=offset, error="")


def take_in(upload: ModelUpload, file: Path) -> None:
    """The whole file is here. One of PyTorch becomes a model later, see `convert_waiting`. Raises Invalid."""
    if uploaded.is_torch(file):
        note(upload, upload.upload_length or 0)
        return
    with storage.scratch() as out:
        try:
            storage.require_room(file.stat().st_size)
            with storage.refusing_when_full():
                digest, buffers = uploaded.rewrite(file, out)
        except WeightsError as error:
            _refuse(upload, str(error))
            raise Invalid(("file", str(error))) from error
        _keep(upload.pk, out, digest, buffers)
    file.unlink(missing_ok=True)


def convert_waiting() -> None:
    """Have files of PyTorch converted that are here and were not yet. Answers arrive on another thread.

    Each worker has an evaluator of its own, so that a file may be converted twice.
    """
    for upload in _to_convert():
        try:
            storage.require_room(upload.upload_length or 0)
        except StorageFull:
            log.warning("the file of upload %s is not converted yet: the disk is full", upload.pk)
            continue
        file, out = storage.model_upload_path(upload.pk), storage.scratch_path()
        request = {"do": "convert", "weights": str(file), "out": str(out), "most_bytes": initialisation.most_bytes()}
        evaluator.submit(f"upload {upload.pk}", request, partial(_converted, upload.pk, file, out))


def _waiting() -> QuerySet[ModelUpload]:
    return ModelUpload.objects.filter(digest="", error="", upload_offset=F("upload_length"))


_to_convert = Select(lambda: _waiting().order_by("pk"))


def _converted(upload_id: int, file: Path, out: Path, answer: Answer) -> None:
    """A failure counts only while the file waits: another worker may have converted it, and removed it, before."""
    if answer["ok"]:
        _keep(upload_id, out, answer["digest"], answer["buffers"])
        file.unlink(missing_ok=True)
    elif storage.is_full():
        log.warning("the file of upload %s is not converted yet: the disk is full", upload_id)
    elif upload := _waiting().filter(pk=upload_id).first():
        _refuse(upload, str(answer["error"]))
    out.unlink(missing_ok=True)


@storage.keeping()
def _keep(upload_id: int, file: Path, digest: str, buffers: Sequence[str]) -> None:
    num_bytes = file.stat().st_size
    storage.put(file, digest)
    rows = ModelUpload.objects.filter(pk=upload_id)
    rows.update(digest=digest, num_bytes=num_bytes, buffers=list(buffers), error="", file_status=FileStatus.STORED)


def _refuse(upload: ModelUpload, why: str) -> None:
    """It begins again at 0."""
    ModelUpload.objects.filter(pk=upload.pk).update(upload_offset=0, error=printable(why, 500))
    storage.model_upload_path(upload.pk).unlink(missing_ok=True)


def delete(upload: ModelUpload) -> str:
    """Remove an upload. Returns the digest of the file that may be unused now. Raises Conflict while it is needed."""
    waiting = TrainingSession.objects.filter(initial_model=upload, models=None).exclude(status__in=ENDED).first()
    if waiting is not None:
        raise Conflict(f"{waiting.name} is to begin with it. Cancel or delete that session first.")
    upload_id, digest = upload.pk, upload.digest
    upload.delete()
    storage.model_upload_path(upload_id).unlink(missing_ok=True)
    return digest


def forget_abandoned(*, now: datetime) -> None:
    """Remove rows of uploads that never became a model, once their files were abandoned, see `storage.sweep`."""
    for upload in ModelUpload.objects.filter(digest="", created_at__lte=now - ABANDONED):
        if not storage.model_upload_path(upload.pk).exists():
            upload.delete()
