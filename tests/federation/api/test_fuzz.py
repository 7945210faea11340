"""Whatever is sent, the answer is an answer: never a 500, and every refusal in the API's own form."""

import json
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.models import Participation, TrainingSession
from tests.federation.api.conftest import problem
from tests.federation.cast import seat_of, token_of
from tests.properties import PROPERTY, json_values

pytestmark = pytest.mark.django_db

anything = json_values()


def object_of(**members):
    """An object that has some of these members, each sensible or anything at all, and perhaps one more."""
    known = st.fixed_dictionaries({}, optional={name: good | anything for name, good in members.items()})
    return st.one_of(
        known, known, st.builds(lambda a, b: a | b, known, st.dictionaries(st.text(max_size=5), anything, max_size=1))
    )


def check(answer):
    assert answer.status_code < 500, answer.content
    if answer.status_code >= 400:
        assert answer["Content-Type"] == "application/problem+json"
        problem = json.loads(answer.content)
        assert problem["status"] == answer.status_code and problem["detail"]


choice = object_of(name=st.sampled_from(["synthetic", "fedavg"]), options=st.just({}))


@PROPERTY
@given(
    body=object_of(
        name=st.just("first"),
        workload=st.just({"name": "synthetic"}) | choice,
        rounds=st.just(3),
        strategy=choice,
        cohort_size=st.just(2),
        quorum=st.just(2),
        round_seconds=st.just(60),
        train=object_of(epochs=st.just(1), batch_size=st.just(32), learning_rate=st.just(0.1)),
        seed=st.just(1),
        schedule=object_of(
            name=st.sampled_from(["synchronous", "over_selected", "buffered"]), options=object_of(extra=st.just(0.5))
        ),
        main_measure=st.just("accuracy"),
        early_stop=object_of(patience=st.just(2), target=st.just(0.9), measured_by=st.just("server")),
        late_policy=st.just("next_round"),
        compression=choice,
        client_tags=st.just(["gpu"]),
        defences=st.just(["norms"]),
        start_from=object_of(session=st.just("1"), version=st.just(0)),
        start=st.booleans(),
    )
)
def test_sessions(operator, body):
    check(operator("POST", "/sessions", body))


@PROPERTY
@given(
    body=object_of(
        phase=st.just("training"),
        fraction=st.just(0.5),
        metrics=st.lists(
            object_of(name=st.just("loss"), step=st.just(1), value=st.just(0.5), time=st.just("2026-01-01T00:00:00Z")),
            max_size=3,
        ),
    )
)
def test_progress(open_round, raw, body):
    if not Participation.objects.exists():
        open_round("anna")
    url = f"/api/v1/participations/{seat_of('anna').pk}/progress"
    answer = raw("POST", url, json.dumps(body).encode(), by="anna")
    if answer.status != 200:
        problem(answer, answer.status)
        assert answer.status in (400, 422)


@PROPERTY
@given(
    body=object_of(
        join_code=st.just("CODE"),
        name=st.text(max_size=5),
        info=st.dictionaries(st.text(max_size=5), anything, max_size=3),
        token=st.just(token_of("anna")),
    )  # fmt: skip
)
def test_enrolment(invite, call, body):
    if body.get("join_code") == "CODE":
        body["join_code"] = invite()
    check(call("POST", "/enroll", body))


@PROPERTY
@given(
    query=st.dictionaries(st.sampled_from(["limit", "after", "format"]), st.text(max_size=8) | st.integers().map(str))
)
def test_pages(operator, draft, query):
    session = TrainingSession.objects.first() or draft()
    for what in ("events", "metrics", "rounds", "models"):
        check(operator("GET", f"/sessions/{session.pk}/{what}?{urlencode(query, errors='replace')}"))


@PROPERTY
@given(body=anything, seconds=anything)
def test_steering_and_the_rest(operator, draft, body, seconds):
    session = TrainingSession.objects.first() or draft()
    check(operator("POST", f"/sessions/{session.pk}/round/extend", {"seconds": seconds}))
    check(operator("POST", f"/sessions/{session.pk}/round/skip", {"participation": seconds}))
    check(operator("PATCH", "/clients/1", {"enabled": seconds}))
    check(operator("POST", "/invitations", {"uses": seconds, "expires_in_seconds": body}))
