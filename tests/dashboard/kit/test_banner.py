"""The red banner over every page."""

from datetime import timedelta

import pytest
from django.db import OperationalError
from django.test import Client as Browser
from django.utils import timezone

from federation import passwords
from federation.models import Server
from federation.services import health

pytestmark = pytest.mark.django_db
SILENT = 'data-trouble="worker"'


@pytest.fixture(autouse=True)
def started_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_started", health._started - health.START_SECONDS)


@pytest.mark.parametrize("page", ["/", "/sessions/", "/clients/", "/alerts/"])
def test_every_page_says_that_no_worker_ticks(browser: Browser, page: str, ticking: None) -> None:
    assert SILENT not in browser.get(page).content.decode()
    Server.objects.update(ticked_at=timezone.now() - timedelta(minutes=1))
    text = browser.get(page).content.decode()
    assert SILENT in text and "The worker does not work" in text and "start that again" in text


def test_a_page_that_shows_it_is_told_when_it_changes_and_nothing_before(browser: Browser, ticking: None) -> None:
    assert browser.get("/health/?shown=").status_code == 204
    Server.objects.update(ticked_at=timezone.now() - timedelta(minutes=1))
    shown = browser.get("/health/?shown=")
    assert SILENT in shown.content.decode() and "?shown=worker+" in shown.content.decode()
    assert browser.get("/health/?shown=worker+").status_code == 204
    Server.objects.update(ticked_at=timezone.now())
    assert SILENT not in browser.get("/health/?shown=worker+").content.decode()


def test_an_open_page_is_told_that_the_database_is_away(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(passwords.Backend, "get_user", away)
    answer = browser.get("/health/?shown=")
    assert answer.status_code == 200
    assert 'data-trouble="database"' in answer.content.decode()
