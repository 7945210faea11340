"""Who may call what: 401 without a valid token, 403 with one that may not, and cookies only with a CSRF token."""

import pytest
from django.test import Client as Browser

from federation.models import ApiKey, TrainingSession
from federation.services import clients
from tests.federation.api.conftest import problem
from tests.federation.cast import seat_of, token_of

pytestmark = pytest.mark.django_db

OPERATORS = [
    ("GET", "/sessions"),
    ("POST", "/sessions"),
    ("GET", "/sessions/1"),
    ("DELETE", "/sessions/1"),
    *[("POST", f"/sessions/1/{action}") for action in ("start", "pause", "resume", "cancel")],
    *[("POST", f"/sessions/1/round/{action}") for action in ("finish", "extend", "skip")],
    *[("GET", f"/sessions/1/{what}") for what in ("rounds", "events", "metrics", "models")],
    ("GET", "/clients"),
    ("PATCH", "/clients/1"),
    ("POST", "/invitations"),
]
AGENTS = [
    ("POST", "/participations/1/fail"),
    ("POST", "/clients/me/leave"),
]


@pytest.mark.parametrize("method, path", [*OPERATORS, *AGENTS])
def test_without_a_valid_token_nothing_is_told(call, enrol, method, path):
    enrol("anna")
    problem(call(method, path, {}), 401)
    problem(call(method, path, {}, token="nonsense"), 401)
    problem(call(method, path, {}, token="flk_guessed"), 401)
    problem(call(method, path, {}, headers={"Authorization": "Basic YTpi"}), 401)
    problem(call(method, path, {}, headers={"Authorization": "Bearer "}), 401)


@pytest.mark.parametrize("method, path", OPERATORS)
def test_a_clients_token_does_not_steer(call, enrol, method, path):
    enrol("anna")
    problem(call(method, path, {}, token=token_of("anna")), 403)


@pytest.mark.parametrize("method, path", AGENTS)
def test_an_api_key_is_no_client(call, key, method, path):
    problem(call(method, path, {}, token=key), 403)


def test_a_revoked_key_opens_nothing(call, key, now):
    ApiKey.objects.update(revoked_at=now)
    problem(call("GET", "/sessions", token=key), 401)


@pytest.mark.parametrize("path", ["work?wait=0", "models/" + "0" * 64])
def test_a_raw_route_without_a_valid_token_tells_nothing(raw, enrol, path):
    enrol("anna")
    for given in ("nonsense", "flk_guessed", ""):
        problem(raw("GET", f"/api/v1/{path}", headers={"Authorization": f"Bearer {given}"}), 401)
    problem(raw("GET", f"/api/v1/{path}", headers={"Authorization": "Basic YTpi"}), 401)


def test_progress_without_a_clients_token_tells_nothing(raw, key):
    url = "/api/v1/participations/1/progress"
    for given in (None, "nonsense", "flk_guessed"):
        problem(raw("POST", url, b"{}", token=given), 401)
    problem(raw("POST", url, b"{}", token=key), 403)


def test_a_disabled_client_reports_nothing(open_round, raw):
    open_round("anna", "ben")
    seat = seat_of("anna")
    clients.set_enabled(seat.client, False, by="alice")
    answer = raw("POST", f"/api/v1/participations/{seat.pk}/progress", b'{"phase": "training"}', by="anna")
    assert "disabled" in problem(answer, 403)


def test_a_removed_client_is_not_known(call, enrol, now):
    (anna,) = enrol("anna")
    clients.remove(anna, by="alice", now=now)
    problem(call("POST", "/clients/me/leave", token=token_of("anna")), 401)


@pytest.fixture
def browser(alice):
    """Alice's browser, signed in; it checks CSRF tokens as in real life."""
    browser = Browser(enforce_csrf_checks=True, raise_request_exception=False)
    browser.force_login(alice)
    return browser


def test_a_signed_in_browser_reads(browser):
    assert browser.get("/api/v1/sessions").status_code == 200


def test_a_signed_in_browser_writes_only_with_its_csrf_token(browser, draft):
    address = f"/api/v1/sessions/{draft().pk}/cancel"
    problem(browser.post(address), 403)
    assert TrainingSession.objects.get().status == "draft"
    browser.cookies["fl_csrf"] = "a" * 32
    assert browser.post(address, headers={"X-CSRFToken": "a" * 32}).status_code == 200
    assert TrainingSession.objects.get().status == "cancelled"


def test_a_key_needs_no_csrf_token(key, draft):
    script = Browser(enforce_csrf_checks=True)
    answer = script.post(f"/api/v1/sessions/{draft().pk}/cancel", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 200


def test_a_wrong_key_is_not_made_good_by_a_cookie(browser):
    problem(browser.get("/api/v1/sessions", headers={"Authorization": "Bearer flk_guessed"}), 401)


def test_without_a_token_one_is_not_asked_for_a_csrf_token(db):
    """The caller lacks a token in the first place: that is what it is told."""
    problem(Browser(enforce_csrf_checks=True).post("/api/v1/sessions"), 401)
