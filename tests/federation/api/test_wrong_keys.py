"""Who guesses API keys waits, at whichever door; a valid key is never refused for that."""

import asyncio

import pytest

from federation.api import health
from federation.api.raw import RawRoutes
from federation.models import SignIn
from federation.services import signins
from flsite.gate.gate import Gate
from tests.federation.api.conftest import django, problem
from tests.federation.asgi import request

pytestmark = pytest.mark.django_db(transaction=True)
MOST = 3
DIGEST = "0" * 64
DOORS = [
    ("POST", "/models/uploads"),
    *[(method, "/models/uploads/1") for method in ("GET", "PATCH", "DELETE")],
    ("GET", f"/models/{DIGEST}"),
    ("GET", f"/models/{DIGEST}/state_dict"),
    ("GET", "/sessions/1/metrics?format=csv"),
    ("GET", "/work?wait=0"),
    ("POST", "/participations/1/progress"),
    *[(method, "/participations/1/update") for method in ("PUT", "POST", "PATCH")],
]


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(signins, "WRONG_OF_ADDRESS", MOST)


def wrong():
    return SignIn.objects.filter(outcome="wrong_key").count()


@pytest.mark.parametrize("method, path", DOORS)
def test_a_raw_route_counts_wrong_keys(raw, key, method, path):
    path, body = f"/api/v1{path}", b"{}"
    for number in range(MOST):
        problem(raw(method, path, body, token=f"flk_{number}"), 401)
    answer = raw(method, path, body, token="flk_more")
    assert "Too many such keys" in problem(answer, 429)
    assert 0 < int(answer.headers["retry-after"]) <= 900
    assert wrong() == MOST
    assert raw(method, path, body, token=key).status not in (401, 429)


def test_a_clients_token_that_is_not_known_waits_for_nothing(raw):
    for _ in range(MOST + 2):
        problem(raw("GET", "/api/v1/work?wait=0", token="f" * 64), 401)
    assert not wrong()


def test_who_looks_after_the_server_is_answered_and_counted(key):
    routes = RawRoutes(health.ROUTES, otherwise=django)

    def ask(token):
        return asyncio.run(request(routes, "GET", "/readyz", token=token)).json()

    assert not any("checks" in ask(f"flk_{number}") for number in range(MOST + 2))
    assert wrong() == MOST
    assert "checks" in ask(key)


def test_the_gate_counts_the_keys_that_it_refuses():
    gate = Gate(django)
    headers = {"Content-Length": "2"}
    statuses = [
        asyncio.run(request(gate, "POST", "/api/v1/sessions", b"{}", token=f"flk_{n}", headers=headers)).status
        for n in range(MOST + 1)
    ]
    assert statuses == [401] * MOST + [429]
    assert wrong() == MOST


def test_each_address_is_counted_for_itself(raw):
    for number in range(MOST + 1):
        raw("GET", "/api/v1/models/uploads/1", token=f"flk_{number}")
    assert set(SignIn.objects.values_list("address", flat=True)) == {"127.0.0.1"}
    SignIn.objects.update(address="203.0.113.7")
    problem(raw("GET", "/api/v1/models/uploads/1", token="flk_more"), 401)
