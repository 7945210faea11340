"""What the clients of these tests do: they take work, stream curves, send updates, or stay silent."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import numpy as np
from django.contrib.auth.models import User
from django.utils import timezone

from federation import storage
from federation.fl import weights
from federation.lifecycle import ACTIVE, OPEN
from federation.models import Client, GlobalModel, Participation, Phase, TrainingSession
from federation.services import clients, models, rounds, seats, sessions
from federation.services.clients import invitations
from federation.services.seats import progress, updates
from federation.services.seats.progress import Point
from federation.session_settings import Spec

Enrol = Callable[..., list[Client]]
Create = Callable[..., TrainingSession]
HTMX = {"HX-Request": "true"}
SPEC = Spec(
    name="first", workload="synthetic", workload_options={"num_parameters": 10}, rounds=3, quorum=2, round_seconds=600
)


def enrolled(*names: str, **info: Any) -> list[Client]:
    """New clients of these names."""
    now = timezone.now()
    _, code = invitations.create(uses=len(names), expires_in_seconds=None, by=None, now=now)
    return [clients.enroll(join_code=code, name=name, info=info, token=None, now=now)[0] for name in names]


def created(by: User, *, start: bool = False, **change: Any) -> TrainingSession:
    """A draft; with start=True it runs and has its initial model, but no round is open yet."""
    now = timezone.now()
    session = sessions.create(replace(SPEC, **change), by=by, now=now)
    if start:
        sessions.start(session, by=by, now=now)
        models.request_initial(session, then=lambda: None)
    return session


def seat_of(session: TrainingSession, name: str) -> Participation:
    """The newest seat of a client, with the work taken."""
    client = Client.objects.get(name=name)
    seat = client.seats.filter(round__session=session).order_by("-pk")[0]
    if seat.status in OPEN:
        offered = seats.offer(client, now=timezone.now())
        assert offered is not None
        return offered
    return seats.of(client, seat.pk)


def stream(
    session: TrainingSession,
    name: str,
    values: list[float | None],
    *,
    fraction: float = 0.5,
    metric: str = "train_loss",
) -> None:
    """A client reports a curve."""
    now = timezone.now()
    points = [Point(metric, step, value, now) for step, value in enumerate(values, start=1)]
    progress.report(seat_of(session, name), phase=Phase.TRAINING, fraction=fraction, points=points, now=now)


def report(
    session: TrainingSession, name: str, *, now: datetime | None = None, value: float = 0.1, **metrics_: float
) -> None:
    """A client sends its update."""
    seat = seat_of(session, name)
    delta = {"weight": np.full(10, value, np.float32)}
    about = {"num_examples": "50", "base_digest": seat.round.base_model.digest, "metrics": json.dumps(metrics_)}
    with storage.scratch() as file:
        weights.save(file, delta, about)
        updates.receive(seat, file, now=now or timezone.now())


def finish_round(session: TrainingSession, *names: str, **metrics_: float) -> None:
    """Everybody reports, the round becomes a model, and the next one opens if there is one."""
    for name in names:
        report(session, name, **metrics_)
    session.refresh_from_db()
    while rounds.advance(session, now=timezone.now()):
        session.refresh_from_db()


def fail_round(session: TrainingSession) -> None:
    """The deadline passes without a report."""
    now = timezone.now()
    session.round_set.filter(status__in=ACTIVE).update(deadline=now)
    open_round = session.active_round()
    assert open_round is not None
    rounds.close(open_round, now=now)
    session.refresh_from_db()


def model(session: TrainingSession, version: int) -> GlobalModel:
    return session.models.get(version=version)
