"""Updates whose files do not fit their digests any more, or are missing."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from federation import events
from federation.lifecycle import FileStatus
from federation.models import Event, Participation
from federation.services.seats.payload import describe


@transaction.atomic
def lose(seat: Participation, *, missing: bool) -> None:
    """Note that an update that nobody can send again is gone."""
    stored = Participation.objects.filter(pk=seat.pk, digest=seat.digest, file_status=FileStatus.STORED)
    if stored.update(file_status=FileStatus.LOST):
        events.record(seat.round.session_id, Event.Kind.STORAGE_DAMAGED, **of_update(seat, missing, "lost"))


def of_update(seat: Participation, missing: bool, then: str) -> dict[str, Any]:
    """What the log says of a damaged update. then: `asked_again`, or `lost` where that is not possible."""
    return describe(seat) | {"what": "update", "digest": seat.digest, "missing": missing, "then": then}
