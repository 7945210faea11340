"""A small cast: Mara runs the control room; her clients train `synthetic`, whose weights are ten numbers."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.utils import timezone

from federation.models import Client, TrainingSession
from federation.services import rounds, server
from tests.dashboard.cast import created, enrolled, finish_round
from tests.federation.cast import settle


@pytest.fixture(autouse=True)
def data_folder(settings: Any, tmp_path: Path) -> None:
    settings.FL_WEIGHTS_DIR = tmp_path / "weights"
    settings.FL_SCRATCH_DIR = tmp_path / "scratch"
    settings.FL_UPLOADS_DIR = tmp_path / "uploads"
    settings.FL_CONVERTED_DIR = tmp_path / "converted"


@pytest.fixture(autouse=True)
def quick_passwords(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def mara(db: None) -> User:
    return User.objects.create_user("mara", password="correct-horse", is_staff=True)


@pytest.fixture
def browser(mara: User) -> Browser:
    """Mara's browser, signed in."""
    browser = Browser()
    browser.force_login(mara)
    return browser


@pytest.fixture
def stranger(db: None) -> Browser:
    return Browser()


@pytest.fixture
def ticking(db: None) -> None:
    """A worker is at work."""
    server.tick(now=timezone.now())


@pytest.fixture
def enrol(db: None) -> Callable[..., list[Client]]:
    return enrolled


@pytest.fixture
def create(mara: User) -> Callable[..., TrainingSession]:
    return partial(created, mara)


@pytest.fixture
def running(
    enrol: Callable[..., list[Client]], create: Callable[..., TrainingSession], ticking: None
) -> TrainingSession:
    """Round 1 is open for anna, ben and carl; two must report."""
    enrol("anna", "ben", "carl")
    session = create(start=True)
    assert rounds.advance(session, now=timezone.now())
    return session


@pytest.fixture
def trained(running: TrainingSession) -> TrainingSession:
    """Two rounds are done."""
    for accuracy in (0.5, 0.75):
        finish_round(running, "anna", "ben", "carl", base_val_accuracy=accuracy, base_val_loss=1 - accuracy)
    return running


@pytest.fixture
def settled() -> Callable[[TrainingSession], TrainingSession]:
    """Makes every move of a session that is due, as a worker does."""
    return lambda session: settle(session, now=timezone.now())
