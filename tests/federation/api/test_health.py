import asyncio
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.test import Client as Browser
from django.utils import timezone

from federation import storage
from federation.api import health
from federation.api.raw import RawRoutes
from federation.api.seen import seen
from federation.models import Server
from federation.services import server
from federation.storage import room
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
    for path, word in (("/readyz", "ready"), ("/systemz", "well")):
        strangers = [ask(path), ask(path, "flk_guessed"), ask(path, token_of("anna"))]
        assert [(answer.status, answer.json()) for answer in strangers] == [(200, {word: True})] * 3
    Server.objects.update(ticked_at=timezone.now() - timedelta(seconds=20))
    assert (ask("/systemz").status, ask("/systemz").json()) == (503, {"well": False})
    assert "checks" in ask("/systemz", key).json()


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
def test_a_process_is_ready_whatever_the_worker_and_the_disk_are_at(key, monkeypatch):
    """Else what spreads requests would find no process at all."""
    Server.objects.update_or_create(pk=1, defaults={"ticked_at": timezone.now() - timedelta(seconds=20)})
    monkeypatch.setattr(room, "SPARE_BYTES", 1 << 60)
    answer = ask("/readyz", key)
    assert answer.status == 200 and answer.json() == {
        "ready": True,
        "checks": [
            {"name": "database", "ok": True, "detail": "It answers."},
            {"name": "storage", "ok": True, "detail": "It can be written."},
        ],
    }
    failing = {check["name"] for check in ask("/systemz", key).json()["checks"] if not check["ok"]}
    assert failing == {"storage", "worker"}


@pytest.mark.django_db(transaction=True)
def test_a_folder_that_cannot_be_written_makes_a_process_unready(key, monkeypatch):
    def fails(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(storage, "scratch", fails)
    answer = ask("/readyz", key)
    assert answer.status == 503
    [failing] = [check for check in answer.json()["checks"] if not check["ok"]]
    assert (
        failing["name"] == "storage" and "Permission denied" in failing["detail"] and "Let the server" in failing["do"]
    )


@pytest.mark.django_db(transaction=True)
def test_a_server_is_well_while_its_worker_ticks(key):
    server.tick(now=timezone.now())
    answer = ask("/systemz", key)
    assert answer.status == 200 and answer.json()["well"]
    assert [(check["name"], check["ok"]) for check in answer.json()["checks"]] == [
        ("database", True), ("storage", True), ("worker", True),
    ]  # fmt: skip
    Server.objects.update(ticked_at=timezone.now() - timedelta(seconds=20))
    answer = ask("/systemz", key)
    assert answer.status == 503 and not answer.json()["well"]
    [failing] = [check for check in answer.json()["checks"] if not check["ok"]]
    assert failing["name"] == "worker" and "start that again" in failing["do"]
    assert answer.headers["cache-control"] == "no-store"


def test_a_database_that_is_away_is_told(monkeypatch, known):
    def away(**_):
        raise OperationalError("connection refused")

    monkeypatch.setattr(Server.objects, "filter", away)
    for path in ("/readyz", "/systemz"):
        answer = ask(path, known)
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
