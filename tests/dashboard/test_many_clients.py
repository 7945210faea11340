"""Pages of a session with more clients than SQLite compares one by one in a statement."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from tests import history
from tests.dashboard.cast import created, enrolled

MANY = 1001
PAGES = ("session", "session_timeline", "session_data")


@pytest.fixture
def pages(db: None, mara: User) -> list[str]:
    clients = enrolled(*(f"site-{number:04}" for number in range(MANY)))
    session = created(mara)
    history.write(session, clients, rounds=1, sessions=1, now=timezone.now())
    return [reverse(page, args=[session.pk]) for page in PAGES]


def test_every_page_of_the_session_opens(pages: list[str], browser: Browser) -> None:
    for page in pages:
        answer = browser.get(page)
        assert answer.status_code == 200 and "site-" in answer.content.decode(), page
