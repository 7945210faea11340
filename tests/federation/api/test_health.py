import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.test import Client as Browser
from django.utils import timezone

from federation.api import health
from federation.api.raw import RawRoutes
from federation.api.seen import seen
from federation.models import Server
from federation.services import server
from tests.federation.api.conftest import django
from tests.federation.asgi import Answer, request
from tests.federation.cast import token_of

routes = RawRoutes(health.ROUTES, otherwise=django)


def ask(path: str, key: str = "") -> Answer:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return asyncio.run(request(routes, "GET", path, headers=headers))


@pytest.fixture
def known() -> Iterator[str]:
    """A key that was good a moment ago."""
    seen.note("flk_known", ("user", 1))
    yield "flk_known"
    seen.forget("flk_known")


@pytest.mark.django_db(transaction=True)
def test_a_stranger_learns_no_more_than_whether_it_works(enrol, key):
    server.tick(now=timezone.now())
    enrol("anna")
    strangers = [ask("/readyz"), ask("/readyz", "flk_guessed"), ask("/readyz", token_of("anna"))]
    assert [(answer.status, answer.json()) for answer in strangers] == [(200, {"ready": True})] * 3
    Server.objects.update(ticked_at=timezone.now() - timedelta(seconds=20))
    assert (ask("/readyz").status, ask("/readyz").json()) == (503, {"ready": False})
    assert "checks" in ask("/readyz", key).json()


@pytest.mark.django_db(transaction=True)
def test_who_is_signed_in_learns_the_details(alice):
    browser = Browser()
    browser.force_login(alice)
    cookie = f"fl_session={browser.cookies['fl_session'].value}"
    answer = asyncio.run(request(routes, "GET", "/readyz", headers={"cookie": cookie}))
    assert "checks" in answer.json()
    browser.logout()
    answer = asyncio.run(request(routes, "GET", "/readyz", headers={"cookie": cookie}))
    assert "checks" not in answer.json()


def test_a_process_is_alive_without_a_database():
    """This test may not touch the database."""
    answer = ask("/healthz")
    assert (answer.status, answer.json()) == (200, {"alive": True})


@pytest.mark.django_db(transaction=True)
def test_a_server_is_ready_while_its_worker_ticks(key):
    server.tick(now=timezone.now())
    answer = ask("/readyz", key)
    assert answer.status == 200 and answer.json()["ready"]
    assert [(check["name"], check["ok"]) for check in answer.json()["checks"]] == [
        ("database", True), ("storage", True), ("worker", True),
    ]  # fmt: skip
    Server.objects.update(ticked_at=timezone.now() - timedelta(seconds=20))
    answer = ask("/readyz", key)
    assert answer.status == 503 and not answer.json()["ready"]
    [failing] = [check for check in answer.json()["checks"] if not check["ok"]]
    assert failing["name"] == "worker" and "start that again" in failing["do"]
    assert answer.headers["cache-control"] == "no-store"


def test_a_database_that_is_away_is_told(monkeypatch, known):
    def away(**_):
        raise OperationalError("connection refused")

    monkeypatch.setattr(Server.objects, "filter", away)
    answer = ask("/readyz", known)
    assert answer.status == 503
    assert [check["name"] for check in answer.json()["checks"] if not check["ok"]] == ["database"]


def test_a_database_that_never_answers_is_not_waited_for(monkeypatch, known):
    release = threading.Event()
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(Server.objects, "filter", lambda **_: release.wait(20))
    answer = ask("/readyz", known)
    release.set()
    assert answer.status == 503
    assert "did not answer within" in answer.json()["checks"][0]["detail"]
