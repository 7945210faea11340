"""`POST /participations/<id>/result`, and sessions that only measure, as scripts ask for them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.lifecycle import SeatStatus, WorkKind
from federation.models import Participation, Round, TrainingSession
from tests.federation.api.conftest import problem
from tests.federation.cast import seat_of, settle, token_of
from tests.federation.services.evaluating import declare, take, train
from tests.properties import PROPERTY, json_values

pytestmark = pytest.mark.django_db
GOOD = {"num_examples": 200, "metrics": {"accuracy": 0.5, "loss": None}, "counts": {"confusion": [[1, 2], [3, 4]]}}
BOTH = ["train", "evaluate"]


@pytest.fixture
def measured(enrol, running, now):
    """A session whose last model anna is asked to measure."""
    enrol("anna", kinds=BOTH)
    session = train(declare(running(rounds=1)), "anna", now=now)
    take("anna", now)
    return session


@pytest.fixture
def result(call):
    def result(body, *, by="anna", of="anna"):
        return call("POST", f"/participations/{seat_of(of).pk}/result", body, token=token_of(by))

    return result


def test_a_result_is_taken_and_the_same_again_answered_the_same(measured, result, enqueued):
    enqueued.clear()
    answers = [result(GOOD), result(GOOD)]
    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b""), (204, b"")]
    seat = seat_of("anna")
    assert (seat.status, seat.num_examples, seat.metrics, seat.counts) == (SeatStatus.REPORTED, *GOOD.values())
    problem(result(GOOD | {"num_examples": 1}), 409)


def test_a_huge_number_that_the_database_gives_back_as_an_integer_is_the_same(measured, result):
    huge = GOOD | {"metrics": {"loss": 1e30}}
    assert result(huge).status_code == 204
    Participation.objects.filter(pk=seat_of("anna").pk).update(metrics={"loss": 10**30})  # as PostgreSQL writes it
    assert result(huge).status_code == 204


def test_a_result_makes_the_session_move(measured, result, enqueued, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        result(GOOD)
    assert ("advance", measured.pk) in enqueued


def test_a_result_after_the_close_is_refused(measured, result, now):
    Participation.objects.filter(pk=seat_of("anna").pk).update(status=SeatStatus.DROPPED)
    problem(result(GOOD), 410)


def test_of_another_client_it_is_not_there(measured, enrol, result):
    enrol("eve")
    problem(result(GOOD, by="eve"), 404)


def test_a_result_for_training_is_refused(open_round, result):
    open_round("anna")
    assert "not answered with a result" in problem(result(GOOD), 409)


def test_an_update_for_an_evaluation_is_refused(transactional_db, enrol, running, now, raw):
    enrol("anna", kinds=BOTH)
    train(declare(running(rounds=1)), "anna", now=now)
    answer = raw("PUT", f"/api/v1/participations/{seat_of('anna').pk}/update", b"x", by="anna")
    assert "answered with numbers" in problem(answer, 409)
    answer = raw("HEAD", f"/api/v1/participations/{seat_of('anna').pk}/update", by="anna")
    assert answer.status == 409


CANNOT_BE = [
    ({"num_examples": 0}, "num_examples"),
    ({"num_examples": 10**12 + 1}, "num_examples"),
    ({"num_examples": "200"}, "num_examples"),
    ({"num_examples": 1.5}, "num_examples"),
    ({"num_examples": True}, "num_examples"),
    ({"metrics": []}, "metrics"),
    ({"metrics": {"accuracy": "good"}}, "metrics.accuracy"),
    ({"metrics": {"": 1}}, "metrics..[key]"),
    ({"metrics": {"a\u202eb": 1}}, "metrics.a\u202eb.[key]"),
    ({"metrics": {str(n): 1 for n in range(1001)}}, "metrics"),
    ({"counts": {"seen": -1}}, "result"),
    ({"counts": {str(n): 1 for n in range(101)}}, "counts"),
    ({"more": 1}, "more"),
]


def test_what_cannot_be_is_named_and_the_seat_stays_open(measured, result):
    for change, field in CANNOT_BE:
        problem(result(GOOD | change), 422, field=field)
        assert seat_of("anna").is_open, change


def test_a_literal_that_is_no_number_is_refused(measured, result):
    problem(result(b'{"num_examples": 1, "metrics": {"loss": NaN}}'), 422)
    problem(result(b'{"num_examples": 1, "metrics": {"loss": 1e999}}'), 422)


def test_a_huge_number_is_kept_as_none(measured, result):
    assert result(GOOD | {"metrics": {"loss": 1e31}}).status_code == 204
    assert seat_of("anna").metrics == {"loss": None}


numbers = st.none() | st.floats() | st.integers() | st.just(10**400)
names = st.text(max_size=70)


@PROPERTY
@given(
    body=st.fixed_dictionaries(
        {"num_examples": st.integers() | json_values(), "metrics": st.dictionaries(names, numbers) | json_values()},
        optional={"counts": st.dictionaries(names, json_values()) | json_values(), "more": json_values()},
    )
)
def test_whatever_is_sent_there_is_an_answer(measured, result, body):
    answer = result(body)
    assert answer.status_code in (204, 400, 409, 422), answer.content
    if answer.status_code >= 400:
        problem(answer, answer.status_code)
    assert settle(measured, now=measured.created_at).pk == measured.pk


# ---- sessions


def model_of(session: TrainingSession) -> str:
    return session.last_model().digest


def test_a_script_has_a_model_measured(operator, measured, result):
    result(GOOD)
    settle(measured, now=measured.created_at)
    answer = operator("POST", "/sessions", {"kind": "evaluate", "initial_model": model_of(measured)})
    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert (body["kind"], body["status"], body["rounds"], body["completed_rounds"]) == ("evaluate", "running", 1, 0)
    assert (body["initial_model"], body["client_ids"]) == (model_of(measured), [])
    session = TrainingSession.objects.get(pk=body["id"])
    settle(session, now=measured.created_at)
    result(GOOD)
    settle(session, now=measured.created_at)
    body = operator("GET", f"/sessions/{session.pk}").json()
    assert (body["status"], body["completed_rounds"], body["model"]["version"]) == ("completed", 1, 0)
    (found,) = operator("GET", f"/sessions/{session.pk}/rounds").json()["items"]
    assert (found["kind"], found["outcome"], found["metrics"]["accuracy"]) == ("evaluate", "numbers", 0.5)
    assert found["errors"] == {"loss": {"code": "unusable", "clients": ["anna"]}}


def test_chosen_clients_are_told(operator, measured):
    anna = seat_of("anna").client
    wish = {"kind": "evaluate", "initial_model": model_of(measured), "client_ids": [str(anna.pk)], "start": False}
    body = operator("POST", "/sessions", wish | {"name": "mine", "round_seconds": 60}).json()
    assert (body["name"], body["status"], body["client_ids"]) == ("mine", "draft", [str(anna.pk)])


WISHES = [
    ({}, "initial_model"),
    ({"initial_model": "0" * 64}, "initial_model"),
    ({"initial_model": "no digest"}, "initial_model"),
    ({"initial_model": None}, "initial_model"),
    ({"client_ids": ["x"]}, "client_ids.0"),
    ({"client_ids": ["12345"]}, "client_ids"),
    ({"round_seconds": 0}, "round_seconds"),
    ({"rounds": 3}, "rounds"),
]


def test_a_wish_that_cannot_be_is_named(operator, measured):
    for wish, field in WISHES:
        known = {"initial_model": model_of(measured)} if len(wish) and "initial_model" not in wish else {}
        problem(operator("POST", "/sessions", {"kind": "evaluate"} | known | wish), 422, field=field)


def test_another_kind_is_refused_with_those_that_there_are(operator):
    sentence = problem(operator("POST", "/sessions", {"kind": "echo", "name": "x"}), 422, field="kind")
    assert "train or evaluate" in sentence


def test_a_training_may_say_its_kind(operator):
    body = {"kind": "train", "name": "first", "workload": {"name": "synthetic"}}
    answer = operator("POST", "/sessions", body).json()
    assert (answer["kind"], answer["initial_model"]) == ("train", None)
    problem(operator("POST", "/sessions", body | {"train": {"epochs": 0}}), 422, field="train.epochs")
    problem(operator("POST", "/sessions", body | {"rounds": "x"}), 422, field="rounds")


def test_rounds_are_those_of_training_unless_another_kind_is_asked_for(operator, measured):
    path = f"/sessions/{measured.pk}/rounds"
    assert [one["kind"] for one in operator("GET", path).json()["items"]] == ["train"]
    assert [one["kind"] for one in operator("GET", f"{path}?kind=evaluate").json()["items"]] == ["evaluate"]
    assert operator("GET", f"{path}?kind=initialise").status_code in (200, 422)
    assert "train" in problem(operator("GET", f"{path}?kind=echo"), 422, field="kind")
    assert operator("GET", f"/sessions/{measured.pk}").json()["round"] is None


def test_points_of_an_evaluation_are_in_no_curve(transactional_db, operator, enrol, running, now, raw):
    enrol("anna", kinds=BOTH)
    session = train(declare(running(rounds=1)), "anna", now=now)
    seat = take("anna", now)
    body = b'{"phase": "evaluating", "metrics": [{"name": "accuracy", "step": 1, "value": 0.5}]}'
    assert raw("POST", f"/api/v1/participations/{seat.pk}/progress", body, by="anna").json() == {"continue": True}
    assert operator("GET", f"/sessions/{session.pk}/metrics").json()["items"] == []
    assert Round.objects.filter(kind=WorkKind.EVALUATE).count() == 1
