import pytest

from tests.federation.api.conftest import problem

pytestmark = pytest.mark.django_db
BODY = {"name": "first", "workload": {"name": "synthetic", "options": {"num_parameters": 10}}, "start": False}


@pytest.mark.parametrize(("given", "seconds", "auto"), [(90, 90, False), ("auto", 600, True), (None, 600, False)])
def test_the_time_for_a_round_is_a_number_or_learnt(operator, given, seconds, auto):
    answer = operator("POST", "/sessions", BODY | ({} if given is None else {"round_seconds": given}))
    assert answer.status_code == 201
    told = operator("GET", f"/sessions/{answer.json()['id']}").json()
    assert (told["round_seconds"], told["auto_deadline"]) == (seconds, auto)


@pytest.mark.parametrize("given", ["soon", "", [], {}, 1.5, None])
def test_anything_else_is_refused(operator, given):
    answer = operator("POST", "/sessions", BODY | {"round_seconds": given})
    assert 'Write a whole number of seconds, or "auto" to have it learnt.' in str(answer.json()["errors"])
    problem(answer, 422, field="round_seconds")


def test_a_number_out_of_range_is_refused_as_before(operator):
    assert "round_seconds is 0" in str(operator("POST", "/sessions", BODY | {"round_seconds": 0}).json()["errors"])
