"""A small cast: Alice runs the control room; clients, by name, train `synthetic`, whose model is ten numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from federation import tasks
from federation.models import ApiKey, Client, Round, TrainingSession
from federation.services import apikeys, clients, models, rounds, sessions
from federation.services.clients import invitations
from federation.session_settings import Spec
from tests.federation.cast import SIZE, token_of

Enrol = Callable[..., list[Client]]
Launch = Callable[..., TrainingSession]

SPEC = Spec(
    name="first", workload="synthetic", workload_options={"num_parameters": SIZE}, rounds=3, quorum=1, round_seconds=600
)


@pytest.fixture(autouse=True)
def stores(settings: Any, tmp_path: Path) -> None:
    settings.FL_WEIGHTS_DIR = tmp_path / "weights"
    settings.FL_SCRATCH_DIR = tmp_path / "scratch"
    settings.FL_UPLOADS_DIR = tmp_path / "uploads"
    settings.FL_CONVERTED_DIR = tmp_path / "converted"


@pytest.fixture(autouse=True)
def enqueued() -> Iterator[list[tuple[Any, ...]]]:
    """What was put in the broker's queue: (task's name, arguments…)."""
    calls: list[tuple[Any, ...]] = []
    with (
        patch.object(tasks.advance, "delay", lambda *args: calls.append(("advance", *args))),
        patch.object(tasks.advance_all, "delay", lambda: calls.append(("advance_all",))),
    ):
        yield calls


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice", is_staff=True)


@pytest.fixture
def key(alice: User) -> str:
    """Alice's API key."""
    key, secret = apikeys.create(alice, may_administer=True)
    ApiKey.objects.filter(pk=key.pk).update(last_used_at=timezone.now())  # it was in use before
    return secret


@pytest.fixture
def invite(db: None, now: datetime) -> Callable[..., str]:
    """Makes a join code."""

    def invite(uses: int = 1, expires_in_seconds: int | None = None) -> str:
        return invitations.create(uses=uses, expires_in_seconds=expires_in_seconds, by=None, now=now)[1]

    return invite


@pytest.fixture
def enrol(invite: Callable[..., str], now: datetime) -> Enrol:
    """Lets clients in, each with the token that `token_of` its name gives."""

    def enrol(*names: str, **info: Any) -> list[Client]:
        code = invite(uses=len(names))
        return [
            clients.enroll(join_code=code, name=name, info=info, token=token_of(name), now=now)[0] for name in names
        ]

    return enrol


@pytest.fixture
def draft(alice: User, now: datetime) -> Launch:
    def draft(**change: Any) -> TrainingSession:
        return sessions.create(replace(SPEC, **change), by=alice, now=now)

    return draft


@pytest.fixture
def running(draft: Launch, alice: User, now: datetime) -> Launch:
    """A session that runs and has its initial model, but no open round yet."""

    def running(**change: Any) -> TrainingSession:
        session = draft(**change)
        sessions.start(session, by=alice, now=now)
        models.request_initial(session, then=lambda: None)
        return session

    return running


@pytest.fixture
def open_round(enrol: Enrol, running: Launch, now: datetime) -> Callable[..., Round]:
    """Enrols clients and opens a session's first round for them; all of them must report."""

    def open_round(*names: str, **change: Any) -> Round:
        enrol(*names)
        session = running(**{"quorum": len(names)} | change)
        assert rounds.advance(session, now=now)
        round_ = session.active_round()
        assert round_ is not None
        return round_

    return open_round
