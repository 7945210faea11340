"""Alice operates; north, south and west are clients; a session of the workload `synthetic` is open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from django.contrib.auth.models import User

from federation import session_settings, storage
from federation.fl import weights
from federation.models import Client, Participation, Round, TrainingSession
from federation.services import clients, models, rounds, sessions
from federation.services.clients import invitations
from tests.federation.rules.clock import NOW


@pytest.fixture(autouse=True)
def own_folders(settings, tmp_path: Path) -> None:
    settings.FL_WEIGHTS_DIR = tmp_path / "weights"
    settings.FL_SCRATCH_DIR = tmp_path / "scratch"
    settings.FL_UPLOADS_DIR = tmp_path / "uploads"


@pytest.fixture
def alice(db) -> User:
    return User.objects.create_user("alice", password="correct-horse-battery")


@pytest.fixture
def join_code(db) -> str:
    return invitations.create(uses=20, expires_in_seconds=3600, by=None, now=NOW)[1]


@pytest.fixture
def enrol(join_code: str) -> Callable[[str], Client]:
    return lambda name: clients.enroll(join_code=join_code, name=name, info={}, token=None, now=NOW)[0]


@pytest.fixture
def three(enrol) -> list[Client]:
    return [enrol(name) for name in ("north", "south", "west")]


@pytest.fixture
def launch(alice: User) -> Callable[..., TrainingSession]:
    def launch(**change: object) -> TrainingSession:
        spec = {"name": "first", "workload": "synthetic", "workload_options": {"num_parameters": 10}, "quorum": 2}
        session = sessions.create(session_settings.Spec(**(spec | {"rounds": 2} | change)), by=alice, now=NOW)
        sessions.start(session, by=alice, now=NOW)
        models.request_initial(session, then=lambda: None)
        return session

    return launch


@pytest.fixture
def session(three: list[Client], launch) -> TrainingSession:
    return launch()


@pytest.fixture
def open_round(session: TrainingSession) -> Round:
    assert rounds.advance(session, now=NOW)
    return session.round_set.get()


@pytest.fixture
def update_file(tmp_path: Path) -> Callable[..., Path]:
    """Write an update for a seat; `change` edits its tensors, `metadata` its metadata (None takes one away)."""

    def update_file(seat: Participation, value: float = 1.0, change=lambda tensors: tensors, **metadata) -> Path:
        base = weights.load(storage.path(seat.round.base_model.digest))
        tensors = change({name: np.full_like(array, value) for name, array in base.items()})
        given = {"num_examples": "10", "base_digest": seat.round.base_model.digest} | metadata
        file = tmp_path / f"update-{seat.pk}"
        weights.save(file, tensors, {k: v for k, v in given.items() if v is not None})
        return file

    return update_file
