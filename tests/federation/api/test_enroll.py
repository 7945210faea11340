import pytest
from django.test import Client as Browser

from federation.models import Client, Invitation
from tests.federation.api.conftest import problem
from tests.federation.cast import token_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def enroll(call):
    def enroll(code, name="anna", /, **more):
        return call("POST", "/enroll", {"join_code": code, "name": name, "info": {}} | more)

    return enroll


def test_a_client_gets_its_id_name_and_token(enroll, invite, call):
    answer = enroll(invite(), " anna ")
    assert answer.status_code == 201
    assert answer.json().keys() == {"client_id", "name", "token"}
    assert answer.json()["name"] == "anna"
    assert call("POST", "/clients/me/leave", token=answer.json()["token"]).status_code == 200


def test_somebody_may_have_waited_for_one_more_client(enroll, invite, enqueued, django_capture_on_commit_callbacks):
    code = invite()
    with django_capture_on_commit_callbacks(execute=True):
        enroll(code, "a/b")
    assert enqueued == []
    with django_capture_on_commit_callbacks(execute=True):
        enroll(code)
    assert enqueued == [("advance_all",)]


def test_the_same_request_again_is_answered_the_same(enroll, invite):
    code, token = invite(), token_of("anna")
    first, second = enroll(code, token=token), enroll(code, token=token)
    assert first.json() == second.json() and second.status_code == 201
    assert first.json()["token"] == token


@pytest.mark.parametrize("code", ["AAAA-AAAA-AAAA-AAAA", "", "x", "💥", "A" * 64])
def test_an_unknown_code_is_refused(enroll, invite, code):
    good = invite()
    problem(enroll(code), 403)
    assert enroll(good).status_code == 201


def test_a_used_up_code_is_refused(enroll, invite):
    code = invite()
    enroll(code)
    assert "used up" in problem(enroll(code, "ben"), 403)


def test_an_expired_code_is_refused(enroll, invite, now):
    code = invite(expires_in_seconds=60)
    Invitation.objects.update(expires_at=now)
    assert "expired" in problem(enroll(code), 403)


def test_a_revoked_code_is_refused(enroll, invite, now):
    code = invite()
    Invitation.objects.update(revoked_at=now)
    assert "revoked" in problem(enroll(code), 403)


@pytest.mark.parametrize("name", ["anna", "ANNA"])
def test_a_taken_name_is_refused_and_uses_nothing_up(enroll, invite, name):
    code = invite(uses=2)
    enroll(code)
    assert "taken" in problem(enroll(code, name), 409)
    assert enroll(code, "ben").status_code == 201


@pytest.mark.parametrize(
    "change, field",
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": "no/slashes"}, "name"),
        ({"name": 7}, "name"),
        ({"name": "a\ud800"}, "name"),
        ({"token": "short"}, "token"),
        ({"token": 7}, "token"),
        ({"info": []}, "info"),
        ({"info": {"notes": "x" * 17_000}}, "info"),
        ({"info": {"loss": float("nan")}}, "info"),
        ({"info": {"loss": float("inf")}}, "info"),
        ({"info": {"notes": "a\x00b"}}, "info"),
        ({"info": {"notes\x00": "a"}}, "info"),
        ({"info": {"notes": "a\ud800"}}, "info"),
        ({"join_code": None}, "join_code"),
        ({"join_code": "x" * 65}, "join_code"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_what_cannot_be_is_refused_by_name_and_uses_nothing_up(enroll, invite, change, field):
    code = invite()
    problem(enroll(code, **change), 422, field=field)
    assert not Client.objects.exists()
    assert enroll(code).status_code == 201


def test_a_missing_member_is_named(call):
    problem(call("POST", "/enroll", {"join_code": "x"}), 422, field="name")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"name": 1' + b"0" * 5000])
def test_what_is_no_json_object_is_refused(call, body):
    assert call("POST", "/enroll", body).status_code in (400, 422)


def test_info_in_any_language_is_kept(enroll, invite):
    info = {"num_examples": 7, "gpu": "Rechner im Süden 💡", "label_histogram": {"猫": 3, "σκύλος": 4}}
    enroll(invite(), info=info | {"unknown": {"a": [1, None, 0.5]}})
    client = Client.objects.get()
    assert (client.info, client.num_examples) == (info, 7)


def test_joining_needs_no_signing_in_and_no_csrf_token(invite):
    browser = Browser(enforce_csrf_checks=True)
    body = {"join_code": invite(), "name": "anna"}
    assert browser.post("/api/v1/enroll", body, content_type="application/json").status_code == 201
