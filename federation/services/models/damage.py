"""Models whose files do not fit their digests any more, or are missing. Noted here, mended by `repair`."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction
from django.db.models import Q

from federation import events, storage
from federation.lifecycle import FileStatus
from federation.models import Event, GlobalModel, ModelUpload


def note(digests: Iterable[str]) -> set[int]:
    """Take damaged files of models out of use and say so in their sessions' logs. Returns the sessions' keys."""
    sessions: set[int] = set()
    for digest in digests:
        missing = not storage.exists(digest)
        storage.set_aside(digest)
        ModelUpload.objects.filter(digest=digest, file_status=FileStatus.STORED).update(file_status=FileStatus.LOST)
        named = Q(digest=digest) | Q(slots_digest=digest)
        for model in GlobalModel.objects.filter(named, file_status=FileStatus.STORED).order_by("pk"):
            _note(model, digest, missing)
            sessions.add(model.session_id)
    return sessions


@transaction.atomic
def _note(model: GlobalModel, digest: str, missing: bool) -> None:
    stored = GlobalModel.objects.filter(pk=model.pk, file_status=FileStatus.STORED)
    if stored.update(file_status=FileStatus.DAMAGED):
        what = "model" if digest == model.digest else "optimizer state"
        payload = {"what": what, "version": model.version, "digest": digest, "missing": missing}
        events.record(model.session_id, Event.Kind.STORAGE_DAMAGED, **payload)
