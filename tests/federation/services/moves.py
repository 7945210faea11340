"""How tests look at a session and move it on, as a worker does that knows only its id."""

from datetime import datetime

from federation.models import TrainingSession
from federation.services import rounds


def fresh(session: TrainingSession) -> TrainingSession:
    return TrainingSession.objects.get(pk=session.pk)


def advance(session: TrainingSession, now: datetime) -> bool:
    return rounds.advance(fresh(session), now=now)
