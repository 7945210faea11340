"""Every call of an agent tells which agent it is; a second one is refused everywhere alike."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from federation.api import auth
from federation.api.head import Head
from federation.models import Client
from tests.federation.cast import seat_of, token_of

pytestmark = pytest.mark.django_db(transaction=True)


def header(place: str) -> dict[str, str]:
    who = {"id": place, "host": f"{place}.example", "pid": 1, "since": "2026-01-01T00:00:00Z"}
    return {"FL-Agent-Instance": json.dumps(who)}


def test_the_second_agent_with_a_token_is_refused_by_every_call(open_round, raw, call):
    round_ = open_round("anna")
    seat = f"/participations/{seat_of('anna').pk}"
    assert raw("GET", "/api/v1/work?wait=0", by="anna", headers=header("first")).status == 200
    for method, path in (
        ("GET", "/work?wait=0"),
        ("GET", f"/models/{round_.base_model.digest}"),
        ("PUT", f"{seat}/update"),
        ("HEAD", f"{seat}/update"),
        ("PATCH", f"{seat}/update"),
        ("POST", f"{seat}/progress"),
    ):
        answer = raw(method, f"/api/v1{path}", by="anna", headers=header("second"))
        assert (answer.status, answer.headers["fl-agent-held"]) == (409, "1"), path
    for path, body in (
        (f"{seat}/fail", {"reason": "none"}),
        ("/clients/me/leave", {}),
    ):
        refused = call("POST", path, body, token=token_of("anna"), headers=header("second"))
        assert (refused.status_code, refused.headers["FL-Agent-Held"]) == (409, "1"), path
        assert "process 1 on first.example" in refused.json()["detail"]
    assert seat_of("anna").status == "training"


def test_a_look_before_a_body_is_read_is_no_sign_of_life(open_round):
    open_round("anna")
    long_ago = timezone.now() - timedelta(days=1)
    Client.objects.filter(name="anna").update(last_seen=long_ago)
    auth.look_at(Head({"authorization": f"Bearer {token_of('anna')}"}), must=False)
    assert Client.objects.get(name="anna").last_seen == long_ago, "or no agent could follow one that is gone"


def test_a_header_that_is_no_json_is_422(open_round, raw):
    open_round("anna")
    answer = raw("GET", "/api/v1/work?wait=0", by="anna", headers={"FL-Agent-Instance": "me"})
    assert answer.status == 422 and answer.json()["errors"][0]["field"] == "FL-Agent-Instance"


@pytest.mark.parametrize(
    "odd",
    [
        "[" * 7000,
        "[" * 400,
        '{"a":' * 400,
        "",
        "null",
        "[]",
        "1" * 5000,
        '{"id": "a", "host": "b", "pid": 1' + "0" * 400 + ', "since": "2026-01-01T00:00:00Z"}',
        '{"id": "a", "host": "b", "pid": 1, "since": "0001-01-01T00:00:00+14:00"}',
        '{"id": "a", "host": "b", "pid": 1, "since": "9999-12-31T23:59:59-14:00"}',
        '{"id": "a", "host": "b", "pid": 1, "since": "2026-01-01T00:00:00"}',
        '{"id": "a", "host": "b", "pid": 1, "since": 5}',
        '{"id": "a", "host": "b", "pid": NaN, "since": "2026-01-01T00:00:00Z"}',
        '{"id": "\\u0000", "host": "b", "pid": 1, "since": "2026-01-01T00:00:00Z"}',
        '{"id": "a", "host": "\\ud800", "pid": 1, "since": "2026-01-01T00:00:00Z"}',
        '{"id": "a", "host": "\\u202eb", "pid": 1, "since": "2026-01-01T00:00:00Z"}',
        "\xb2\xe9",
    ],
)
def test_a_header_that_cannot_be_is_refused_whoever_calls(enrol, raw, call, odd):
    enrol("anna")
    for by in ("anna", "a stranger"):
        answer = raw("GET", "/api/v1/work?wait=0", by=by, headers={"FL-Agent-Instance": odd or " "})
        assert answer.status in (401, 422), answer.body
        refused = call("POST", "/clients/me/leave", {}, token=token_of(by), headers={"FL-Agent-Instance": odd or " "})
        assert refused.status_code in (401, 422), refused.content
    assert raw("GET", "/api/v1/work?wait=0", by="anna").status == 204


def test_the_longest_id_and_host_are_taken_however_they_are_written(enrol, raw):
    enrol("anna")
    who = {"id": "ü" * 64, "host": "ü" * 253, "pid": 2**31 - 1, "since": "2026-01-01T00:00:00.000001+00:00"}
    answer = raw("GET", "/api/v1/work?wait=0", by="anna", headers={"FL-Agent-Instance": json.dumps(who)})
    assert answer.status == 204, answer.body
