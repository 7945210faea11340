"""Whatever goes wrong under /api/ is told as RFC 9457 problem details."""

import json

import pytest
from django.test import Client as Browser

from federation.services import rounds
from tests.federation.api.conftest import problem

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    "path", ["/api/", "/api/v1/", "/api/v1/nothing", "/api/v2/sessions", "/api/v1/sessions/1/nothing"]
)
def test_an_unknown_address(path):
    problem(Browser().get(path), 404)


def test_a_wrong_method(operator):
    problem(operator("PUT", "/sessions", {}), 405)


def test_a_wrong_host():
    problem(Browser(headers={"host": "evil.example"}).get("/api/v1/sessions"), 400)


def test_our_own_bug_is_told_without_its_details(operator, draft, monkeypatch):
    def break_down(*_, **__):
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr(rounds, "finish", break_down)
    answer = operator("POST", f"/sessions/{draft().pk}/round/finish")
    assert "secret" not in problem(answer, 500)


def test_a_body_that_is_no_json(operator):
    problem(operator("POST", "/sessions", b"{"), 400)


def test_a_body_that_is_too_large(operator, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    answer = operator("POST", "/sessions", b" " * 101)
    assert answer.status_code in (400, 413)
    problem(answer, answer.status_code)


def test_pages_keep_their_own_form(db):
    answer = Browser().get("/nothing")
    assert answer.status_code == 404 and "problem" not in answer["Content-Type"]


def test_a_refusal_names_every_field_that_is_wrong(operator):
    answer = operator("POST", "/sessions", {"name": 7, "workload": {}, "rounds": "many"})
    problem(answer, 422)
    fields = [error["field"] for error in json.loads(answer.content)["errors"]]
    assert fields == ["name", "workload.name", "rounds"]
