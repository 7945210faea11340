"""Damage: a stored file that does not fit its digest any more, or is missing. Noted here, mended by `repair`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import Q

from federation import events, storage
from federation.lifecycle import FileStatus
from federation.models import Event, GlobalModel, Participation
from federation.services import seats


def note(digests: Iterable[str]) -> set[int]:
    """Take damaged files of models out of use and say so in their sessions' logs. Returns the sessions' keys."""
    sessions: set[int] = set()
    for digest in digests:
        missing = not storage.exists(digest)
        storage.set_aside(digest)
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


@transaction.atomic
def lose(seat: Participation, *, missing: bool) -> None:
    """Note that an update that nobody can send again is gone."""
    stored = Participation.objects.filter(pk=seat.pk, digest=seat.digest, file_status=FileStatus.STORED)
    if stored.update(file_status=FileStatus.LOST):
        events.record(seat.round.session_id, Event.Kind.STORAGE_DAMAGED, **of_update(seat, missing, "lost"))


def of_update(seat: Participation, missing: bool, then: str) -> dict[str, Any]:
    """What the log says of a damaged update. then: `asked_again`, or `lost` where that is not possible."""
    return seats.describe(seat) | {"what": "update", "digest": seat.digest, "missing": missing, "then": then}
