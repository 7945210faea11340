"""A page is of one moment, whatever is committed while it is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from dashboard.pages.overview import running
from dashboard.pages.session import round_now
from federation import database
from federation.models import TrainingSession
from federation.services import sessions
from tests.dashboard import addresses
from tests.dashboard.cast import Create
from tests.dashboard.markup import compact
from tests.dashboard.test_addresses import Ids, ids  # noqa: F401  a fixture
from tests.federation.cast import at_once

WRITES = ("INSERT", "UPDATE", "DELETE", "REPLACE")


def fail(session: TrainingSession) -> None:
    fields: dict[str, Any] = {"status": "failed", "ended_at": timezone.now(), "reason": "Round 1 failed."}
    TrainingSession.objects.filter(pk=session.pk).update(**fields)


def meanwhile(monkeypatch: pytest.MonkeyPatch, module: Any, act: Callable[[], object], name: str = "of") -> None:
    """Let somebody else do this the moment after a part of the page was read."""
    part: Callable[..., Any] = getattr(module, name)

    def read(*args: Any, **kwargs: Any) -> Any:
        found = part(*args, **kwargs)
        (done,) = at_once(act)
        assert not isinstance(done, Exception), done
        return found

    monkeypatch.setattr(module, name, read)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("address", ["overview", "overview_parts"])
def test_no_session_both_runs_and_has_failed(
    browser: Browser, create: Create, ticking: None, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    session = create(start=True, name="hasty")
    meanwhile(monkeypatch, running, lambda: fail(session), "live")
    page = compact(browser.get(reverse(address)).content.decode())
    assert "needs a look" in page and "</a>failed" not in page
    monkeypatch.undo()
    page = compact(browser.get(reverse(address)).content.decode())
    assert "needs a look" not in page and "</a>failed" in page


@pytest.mark.django_db(transaction=True)
def test_the_round_now_is_that_of_the_session_that_the_page_shows(
    browser: Browser, create: Create, ticking: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = create(start=True)
    meanwhile(monkeypatch, round_now, lambda: sessions.cancel(session, by=None, now=timezone.now()))
    page = browser.get(reverse("session", args=[session.pk])).content.decode()
    assert 'data-session-status="running"' in page and 'data-kind="session.cancelled"' not in page
    monkeypatch.undo()
    page = browser.get(reverse("session", args=[session.pk])).content.decode()
    assert 'data-session-status="cancelled"' in page and 'data-kind="session.cancelled"' in page


@pytest.mark.django_db(transaction=True)
def test_a_snapshot_ends_with_its_block_and_locks_nothing(create: Create) -> None:
    session = create(start=True)
    status = TrainingSession.objects.filter(pk=session.pk).values_list("status", flat=True)
    with database.snapshot(), database.snapshot():
        assert status.get() == "running"
        assert at_once(lambda: fail(session)) == [None]
        assert status.get() == "running"
    assert status.get() == "failed"
    with transaction.atomic():
        TrainingSession.objects.filter(pk=session.pk).update(status="cancelled")
    assert status.get() == "cancelled"


def test_no_page_writes_what_it_could_not_read(browser: Browser, ids: Ids) -> None:  # noqa: F811
    with CaptureQueriesContext(connection) as asked:
        for address in addresses.all_of(ids):
            browser.get(address)
    written = [query["sql"] for query in asked if query["sql"].startswith(WRITES)]
    assert not [sql for sql in written if "django_session" not in sql]
