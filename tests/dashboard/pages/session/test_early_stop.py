"""A session that may stop early by the server's measurements says on its page what it waits for."""

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from federation.fl.workloads.synthetic import Synthetic
from federation.models import GlobalModel, TrainingSession
from federation.services import models, rounds
from tests.dashboard.cast import finish_round
from tests.dashboard.markup import compact

RULE = {"patience": None, "min_delta": 0.0, "target": 0.9, "measured_by": "server"}


@pytest.fixture
def waiting(running: TrainingSession, monkeypatch: pytest.MonkeyPatch) -> TrainingSession:
    monkeypatch.setattr(Synthetic, "needs_torch", True)
    TrainingSession.objects.filter(pk=running.pk).update(main_measure="accuracy", early_stop=RULE)
    running.refresh_from_db()
    finish_round(running, "anna", "ben", "carl")
    return running


def page_of(browser: Browser, name: str, session: TrainingSession) -> str:
    return compact(browser.get(reverse(name, args=[session.pk])).content.decode())


def test_its_page_names_the_model_that_is_measured(browser: Browser, waiting: TrainingSession) -> None:
    for name in ("session", "session_round"):
        page = page_of(browser, name, waiting)
        assert "The server measures v1, because the session may stop early." in page
    assert "Measured by" in page_of(browser, "session_settings", waiting)


def test_its_page_says_that_it_continued_without(browser: Browser, waiting: TrainingSession) -> None:
    model = GlobalModel.objects.get(session=waiting, version=1)
    models.record_evaluation(model.pk, {}, error="MemoryError: no room", now=timezone.now())
    assert rounds.advance(waiting, now=timezone.now())
    page = page_of(browser, "session_round", waiting)
    assert "The server could not measure the accuracy of v1" in page and "MemoryError: no room" in page


def test_its_page_says_when_it_stopped(browser: Browser, waiting: TrainingSession) -> None:
    model = GlobalModel.objects.get(session=waiting, version=1)
    models.record_evaluation(model.pk, {"accuracy": 0.95}, now=timezone.now())
    assert rounds.advance(waiting, now=timezone.now())
    assert "It stopped early: the accuracy reached 0.95" in page_of(browser, "session_events", waiting)
