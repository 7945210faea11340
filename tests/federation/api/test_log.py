"""Lines of an agent's log, and tags of clients and sessions, over HTTP."""

import pytest

from federation.models import ClientLog
from tests.federation.api.conftest import problem
from tests.federation.cast import token_of

LINE = {"time": "2026-01-01T12:00:00Z", "text": "hello"}


@pytest.fixture
def log(enrol, call):
    enrol("anna")
    anna = token_of("anna")
    return lambda body, token=anna: call("POST", "/clients/me/log", body, token=token)


def test_lines_are_kept(log):
    assert log({"lines": [LINE, LINE]}).status_code == 200
    assert [text for _, text in ClientLog.objects.get().lines] == ["hello", "hello"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"lines": []},
        {"lines": [LINE] * 201},
        {"lines": [LINE | {"text": "x" * 2001}]},
        {"lines": [LINE | {"text": "\0"}]},
        {"lines": [LINE | {"time": "soon"}]},
        {"lines": [LINE | {"level": "info"}]},
        {"lines": [LINE], "more": 1},
    ],
)
def test_other_lines_are_refused(log, body):
    problem(log(body), 422)
    assert not ClientLog.objects.exists()


def test_only_a_client_sends_them(log, key):
    problem(log({"lines": [LINE]}, token=None), 401)
    problem(log({"lines": [LINE]}, token=key), 403)


def test_a_clients_tags_are_changed_and_checked(operator, enrol):
    (anna,) = enrol("anna")
    assert operator("PATCH", f"/clients/{anna.pk}", {"tags": ["GPU", "gpu"]}).json()["tags"] == ["gpu"]
    problem(operator("PATCH", f"/clients/{anna.pk}", {"tags": ["no spaces"]}), 422, field="tags")
    problem(operator("PATCH", f"/clients/{anna.pk}", {"tags": [f"t{n}" for n in range(21)]}), 422, field="tags")


def test_a_session_asks_by_tags(operator):
    body = {"name": "a", "workload": {"name": "synthetic"}, "start": False}
    assert operator("POST", "/sessions", body | {"client_tags": ["gpu"]}).json()["client_tags"] == ["gpu"]
    problem(operator("POST", "/sessions", body | {"client_tags": ["/"]}), 422, field="client_tags")
