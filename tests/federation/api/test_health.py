import asyncio
import threading
from datetime import timedelta

import pytest
from django.db import OperationalError
from django.utils import timezone

from federation.api import health
from federation.api.raw import RawRoutes
from federation.models import Server
from federation.services import server
from tests.federation.api.conftest import django
from tests.federation.asgi import Answer, request

routes = RawRoutes(health.ROUTES, otherwise=django)


def ask(path: str) -> Answer:
    return asyncio.run(request(routes, "GET", path))


def test_a_process_is_alive_without_a_database():
    """This test may not touch the database."""
    answer = ask("/healthz")
    assert (answer.status, answer.json()) == (200, {"alive": True})


@pytest.mark.django_db(transaction=True)
def test_a_server_is_ready_while_its_worker_ticks():
    server.tick(now=timezone.now())
    answer = ask("/readyz")
    assert answer.status == 200 and answer.json()["ready"]
    assert [(check["name"], check["ok"]) for check in answer.json()["checks"]] == [
        ("database", True), ("storage", True), ("worker", True),
    ]  # fmt: skip
    Server.objects.update(ticked_at=timezone.now() - timedelta(seconds=20))
    answer = ask("/readyz")
    assert answer.status == 503 and not answer.json()["ready"]
    [failing] = [check for check in answer.json()["checks"] if not check["ok"]]
    assert failing["name"] == "worker" and "start that again" in failing["do"]
    assert answer.headers["cache-control"] == "no-store"


def test_a_database_that_is_away_is_told(monkeypatch):
    def away(**_):
        raise OperationalError("connection refused")

    monkeypatch.setattr(Server.objects, "filter", away)
    answer = ask("/readyz")
    assert answer.status == 503
    assert [check["name"] for check in answer.json()["checks"] if not check["ok"]] == ["database"]


def test_a_database_that_never_answers_is_not_waited_for(monkeypatch):
    release = threading.Event()
    monkeypatch.setattr(health, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(Server.objects, "filter", lambda **_: release.wait(20))
    answer = ask("/readyz")
    release.set()
    assert answer.status == 503
    assert "did not answer within" in answer.json()["checks"][0]["detail"]
