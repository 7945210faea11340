"""Celery's tasks: alarm clocks that carry an id. Each may come twice, late or never; the beat makes up for it."""

from celery import shared_task
from django.utils import timezone

from federation import storage
from federation.lifecycle import LIVE
from federation.models import GlobalModel, TrainingSession
from federation.services import clients, models, rounds, server


@shared_task
def advance(session_id: int) -> None:
    """Make every move that a session is due."""
    session = TrainingSession.objects.filter(pk=session_id).first()
    if session is None:
        return
    while rounds.advance(session, now=timezone.now()):
        pass
    models.request_initial(session, then=lambda: advance.delay(session_id))
    models.request_missing(GlobalModel.objects.filter(session=session))


@shared_task
def advance_all() -> None:
    """The beat's tick, and whenever something changed that may concern any session."""
    now = timezone.now()
    server.tick(now=now)
    clients.announce_offline(now=now)
    for session_id in TrainingSession.objects.filter(status__in=LIVE).values_list("pk", flat=True):
        advance.delay(session_id)
    models.request_missing(GlobalModel.objects.all())


@shared_task
def prune() -> None:
    storage.sweep()
