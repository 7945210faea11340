"""The server itself: the worker's tick."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from federation import events
from federation.models import Server, ServerEvent


@transaction.atomic
def tick(*, now: datetime) -> None:
    """A worker is at work. Logged where it had been silent."""
    if not Server.objects.filter(pk=1).update(ticked_at=now):
        Server.objects.get_or_create(pk=1, defaults={"ticked_at": now})
    if Server.objects.filter(pk=1, worker_silent=True).update(worker_silent=False):
        events.record_server(ServerEvent.Kind.WORKER_RECOVERED)


@transaction.atomic
def notice_silence(*, now: datetime) -> None:
    """Log that no worker ticks any more. Called by a web process: the worker itself cannot tell."""
    row = Server.objects.filter(pk=1, worker_silent=False).first()
    if row is None or row.ticked_at is None or row.is_ticking(now):
        return
    if Server.objects.filter(pk=1, worker_silent=False).update(worker_silent=True):
        events.record_server(ServerEvent.Kind.WORKER_SILENT, last_tick=row.ticked_at.isoformat())
