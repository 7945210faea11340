"""How tests disable or remove a client, and look at what became of what it sent."""

from datetime import datetime

import numpy as np
import pytest

from federation import storage
from federation.fl import weights
from federation.models import Client, Participation, TrainingSession
from federation.services import clients

WAYS = {
    "disabled": lambda client, now: clients.set_enabled(client, False, by="alice"),
    "removed": lambda client, now: clients.remove(client, by="alice", now=now),
}
either = pytest.mark.parametrize("way", WAYS)


def revoke(name: str, way: str = "disabled", *, now: datetime) -> None:
    WAYS[way](Client.objects.enrolled().get(name=name), now)


def weight(session: TrainingSession, version: int) -> weights.Array:
    return weights.load(storage.path(session.models.get(version=version).digest))["weight"]


def grown(session: TrainingSession, version: int) -> float:
    """How far a model moved from the one before it, which is the mean of its updates."""
    step = weight(session, version).astype(np.float64) - weight(session, version - 1)
    return round(float(step.mean()), 6)


def seat(session: TrainingSession, name: str, number: int = 1) -> Participation:
    return session.round_set.get(number=number).seats.select_related("client", "round").get(client__name=name)
