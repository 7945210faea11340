"""What the tests of evaluations do again and again."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from federation.models import Client, Participation, TrainingSession
from federation.services import seats
from federation.services.seats import results
from tests.federation.cast import send, settle

ACCURACY = {"name": "accuracy", "title": "Accuracy", "direction": "max", "combine": "mean"}
ERRORS = {"name": "errors", "direction": "min", "combine": "sum"}
WORST = {"name": "gap", "combine": "max"}
ALONE = {"name": "note", "combine": "none"}
DECLARED = {"measures": [ACCURACY, ERRORS, WORST, ALONE]}


def declare(session: TrainingSession, measures: Any = DECLARED) -> TrainingSession:
    """Let a session's sites declare measures: `synthetic` has none."""
    TrainingSession.objects.filter(pk=session.pk).update(declaration=measures)
    session.refresh_from_db()
    return session


def take(name: str, now: datetime) -> Participation:
    """The work that a client is offered."""
    seat = seats.offer(Client.objects.get(name=name), now=now)
    assert seat is not None, name
    return seat


def idle(name: str, now: datetime) -> bool:
    return seats.offer(Client.objects.get(name=name), now=now) is None


def train(session: TrainingSession, *names: str, now: datetime) -> TrainingSession:
    """One round, in which these clients send their updates, and what follows."""
    settle(session, now=now)
    for name in names:
        take(name, now)
        send(name, now=now)
    return settle(session, now=now)


def measure(name: str, now: datetime, *, num_examples: int = 10, counts: Any = None, **metrics: Any) -> bool:
    """A client's result arrives."""
    sent = {"num_examples": num_examples, "metrics": metrics, "counts": counts or {}}
    return results.receive(seats.of(Client.objects.get(name=name), newest(name)), sent, now=now)


def newest(name: str) -> int:
    return Client.objects.get(name=name).seats.latest("pk").pk
