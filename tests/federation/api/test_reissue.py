import json

import pytest

from federation.models import Client
from tests.federation.api.conftest import problem
from tests.federation.cast import token_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def anna(enrol):
    return enrol("anna", num_examples=100)[0]


def test_an_operator_makes_a_code_and_an_agent_uses_it(operator, call, anna):
    answer = operator("POST", f"/clients/{anna.pk}/reissue", {})
    assert answer.status_code == 201
    made = answer.json()
    assert made["uses"] == 1 and made["expires_at"]
    body = {"join_code": made["join_code"], "name": "anna", "token": token_of("new")}
    joined = call("POST", "/enroll", body)
    assert (joined.status_code, joined.json()["client_id"]) == (201, str(anna.pk))
    sentence = problem(call("POST", "/clients/me/leave", {}, token=token_of("anna")), 401)
    assert "This token of anna was replaced" in sentence
    assert call("POST", "/clients/me/leave", {}, token=token_of("new")).status_code == 200


def test_what_cannot_be_is_refused(operator, call, anna):
    problem(operator("POST", "/clients/4711/reissue", {}), 404)
    problem(operator("POST", f"/clients/{anna.pk}/reissue", {"expires_in_seconds": 0}), 422, field="expires_in_seconds")
    problem(operator("POST", f"/clients/{anna.pk}/reissue", {"uses": 2}), 422)
    problem(call("POST", f"/clients/{anna.pk}/reissue", {}), 401)
    problem(call("POST", f"/clients/{anna.pk}/reissue", {}, token=token_of("anna")), 403)
    made = operator("POST", f"/clients/{anna.pk}/reissue", {}).json()
    body = {"join_code": made["join_code"], "name": "ben", "token": token_of("new")}
    assert "lets in anna alone" in problem(call("POST", "/enroll", body), 409)


def test_an_agent_tells_what_it_has_now(call, anna):
    answer = call("POST", "/clients/me/info", {"info": {"num_examples": 80}}, token=token_of("anna"))
    assert json.loads(answer.content) == {"changed": [{"what": "num_examples", "before": 100, "after": 80}]}
    assert Client.objects.get().num_examples == 80


def test_too_much_of_it_is_refused(call, anna):
    def tell(info):
        return call("POST", "/clients/me/info", {"info": info}, token=token_of("anna"))

    problem(tell({"text": "x" * (16 << 10)}), 422, field="info")
    problem(tell("much"), 422)
    problem(call("POST", "/clients/me/info", {"info": {}}), 401)
