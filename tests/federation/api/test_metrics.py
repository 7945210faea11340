"""/metrics: who may read it, and what stands there."""

from __future__ import annotations

import asyncio
from typing import Any
from unittest.mock import patch

import pytest
from prometheus_client.parser import text_string_to_metric_families

from federation.api import metrics
from federation.api.raw import RawRoutes
from tests.federation.asgi import Answer, request


async def pages(scope: Any, receive: Any, send: Any) -> None:
    """Django, which does not know the address."""
    await send({"type": "http.response.start", "status": 404, "headers": []})
    await send({"type": "http.response.body", "body": b""})


routes = RawRoutes(metrics.ROUTES, otherwise=pages)
TOKEN = "a-token-of-prometheus"


def ask(token: str = "", method: str = "GET") -> Answer:
    return asyncio.run(request(routes, method, "/metrics", token=token or None))


@pytest.fixture
def open_to_prometheus(settings) -> None:
    settings.FL_METRICS_TOKEN = TOKEN


@pytest.mark.django_db(transaction=True)
def test_without_the_setting_there_is_no_such_address(settings):
    settings.FL_METRICS_TOKEN = ""
    assert ask().status == 404 and ask(TOKEN).status == 404


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("token", ["", "another", f"{TOKEN}x", "tökén"])
def test_only_who_shows_the_token_reads_it(open_to_prometheus, token):
    answer = ask(token)
    assert answer.status == 401 and b"FL_METRICS_TOKEN" in answer.body and b"fl_" not in answer.body


@pytest.mark.django_db(transaction=True)
def test_prometheus_understands_it(open_to_prometheus):
    answer = ask(TOKEN)
    assert answer.status == 200 and answer.headers["content-type"].startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(answer.body.decode())}
    assert {"fl_requests", "fl_rounds", "fl_open_seats", "fl_feed_delay_seconds", "fl_database_up"} <= families.keys()
    assert all(family.documentation for family in families.values())


@pytest.mark.django_db(transaction=True)
def test_a_database_that_locks_up_is_said_in_time(open_to_prometheus, monkeypatch):
    monkeypatch.setattr(metrics, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(metrics, "at_length", lambda _: asyncio.sleep(5))
    answer = ask(TOKEN)
    assert answer.status == 503 and b"locks up" in answer.body


@pytest.mark.django_db(transaction=True)
def test_it_is_refused_to_change_anything(open_to_prometheus):
    with patch.object(metrics, "at_length") as looked:
        assert ask(TOKEN, "POST").status == 405
    looked.assert_not_called()
