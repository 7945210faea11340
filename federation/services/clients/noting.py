"""What the server's log says about what clients did: only so often for each."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q

from federation import events
from federation.models import Client, ServerEvent

NOTED = 240  # entries in the server's log that one client may cause


NOTED_WITHIN = timedelta(hours=1)


def note(client: Client, kind: ServerEvent.Kind, *, now: datetime, **payload: Any) -> bool:
    """Log what a client did, at most NOTED times in NOTED_WITHIN. False if it was not logged."""
    window = Q(noted_since__gt=now - NOTED_WITHIN, noted_since__lte=now)
    row = Client.objects.filter(pk=client.pk)
    within = row.filter(window, noted__lt=NOTED).update(noted=F("noted") + 1)
    if not (within or row.exclude(window).update(noted=1, noted_since=now)):
        return False
    events.record_server(kind, client=events.reference(client), **payload)
    return True
