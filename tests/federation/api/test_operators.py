from datetime import timedelta

import pytest
from django.utils import timezone

from federation.lifecycle import RoundStatus, SeatStatus
from federation.models import Client, GlobalModel, Metric, Participation, TrainingSession
from federation.services import server, sessions
from tests.federation.api.conftest import problem
from tests.federation.cast import seat_of, send, settle

SPEC = {
    "name": "first",
    "workload": {"name": "synthetic", "options": {"num_parameters": 10}},
    "rounds": 5,
    "strategy": {"name": "fedavg", "options": {}},
    "cohort_size": None,
    "quorum": 2,
    "round_seconds": 600,
    "train": {"epochs": 1, "batch_size": 32, "learning_rate": 0.1},
    "seed": 1,
    "start_from": None,
    "start": True,
}
SESSION = {
    *("id", "name", "status", "rounds", "completed_rounds", "round"),
    *("workload", "strategy", "seed", "last_seq", "model", "waiting"),
}


# ---- creating


def test_a_session_is_made_and_started(operator, enqueued, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        answer = operator("POST", "/sessions", SPEC)
    assert answer.status_code == 201
    body = answer.json()
    assert body.keys() >= SESSION
    assert (body["status"], body["round"], body["model"], body["completed_rounds"]) == ("running", None, None, 0)
    assert body["workload"] == SPEC["workload"] and body["last_seq"] == 2
    assert body["strategy"] == {
        "name": "fedavg",
        "options": {"server_lr": 1.0, "weighting": "examples", "most_share": 0.5},
    }
    assert "preparing_model" in [reason["reason"] for reason in body["waiting"]]
    assert enqueued == [("advance", int(body["id"]))]
    assert operator("GET", f"/sessions/{body['id']}").json().keys() == body.keys()


def test_members_that_are_left_out_get_their_defaults(operator):
    answer = operator("POST", "/sessions", {"name": "short", "workload": {"name": "synthetic"}})
    assert answer.status_code == 201
    body = answer.json()
    assert (body["quorum"], body["round_seconds"], body["cohort_size"], body["seed"]) == (1, 600, None, 1)
    assert body["train"] == SPEC["train"]


def test_a_session_may_be_made_without_being_started(operator):
    assert operator("POST", "/sessions", SPEC | {"start": False}).json()["status"] == "draft"


@pytest.mark.parametrize(
    "change, field",
    [
        ({"quorum": 3, "cohort_size": 2}, "quorum"),
        ({"quorum": 0}, "quorum"),
        ({"quorum": None}, "quorum"),
        ({"rounds": 0}, "rounds"),
        ({"rounds": "many"}, "rounds"),
        ({"rounds": 1.5}, "rounds"),
        ({"rounds": float("nan")}, "rounds"),
        ({"rounds": 10**30}, "rounds"),
        ({"round_seconds": 0}, "round_seconds"),
        ({"round_seconds": float("inf")}, "round_seconds"),
        ({"cohort_size": -1}, "cohort_size"),
        ({"seed": -1}, "seed"),
        ({"name": ""}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"workload": {"name": "chess"}}, "workload.name"),
        ({"workload": "synthetic"}, "workload"),
        ({"workload": {"name": "synthetic", "options": {"depth": 1}}}, "workload.options.depth"),
        (
            {"workload": {"name": "synthetic", "options": {"num_parameters": float("nan")}}},
            "workload.options.num_parameters",
        ),
        ({"workload": {"name": "synthetic", "version": 2}}, "workload.version"),
        ({"strategy": {"name": "magic"}}, "strategy.name"),
        ({"strategy": {"name": "fedavg", "options": {"server_lr": float("inf")}}}, "strategy.options.server_lr"),
        ({"compression": "topk"}, "compression"),
        ({"compression": {"name": "zip"}}, "compression.name"),
        ({"compression": {"name": "topk", "level": 9}}, "compression.level"),
        ({"compression": {"name": "topk", "options": {"fraction": 0}}}, "compression.options.fraction"),
        ({"compression": {"name": "topk", "options": {"fraction": 1.5}}}, "compression.options.fraction"),
        ({"compression": {"name": "int8", "options": {"fraction": 0.5}}}, "compression.options.fraction"),
        ({"train": {"learning_rate": -0.1}}, "train.learning_rate"),
        ({"train": {"learning_rate": float("nan")}}, "train.learning_rate"),
        ({"train": {"momentum": 0.9}}, "train.momentum"),
        ({"train": []}, "train"),
        ({"start_from": {"session": "999", "version": 0}}, "start_from"),
        ({"start_from": {"session": "first", "version": 0}}, "start_from.session"),
        ({"start_from": {"session": "1", "version": -1}}, "start_from.version"),
        ({"colour": "blue"}, "colour"),
    ],
)  # fmt: skip
def test_an_impossible_session_is_refused_by_name_and_a_good_one_made_next(operator, change, field):
    problem(operator("POST", "/sessions", SPEC | change), 422, field=field)
    assert not TrainingSession.objects.exists()
    assert operator("POST", "/sessions", SPEC).status_code == 201


@pytest.mark.parametrize(
    ("given", "options"), [({"name": "topk"}, {"fraction": 0.1}), ({"name": "int8"}, {}), ({"name": "none"}, {})]
)
def test_a_session_tells_its_compression(operator, given, options):
    body = operator("POST", "/sessions", SPEC | {"compression": given}).json()
    assert body["compression"] == given | {"options": options}


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"text"', b"NaN", b"\xff"])
def test_what_is_no_json_object_is_refused(operator, body):
    assert operator("POST", "/sessions", body).status_code in (400, 422)


def test_a_session_goes_on_from_anothers_model(operator, open_round, now):
    first = open_round("anna", rounds=1).session
    send("anna", now=now)
    settle(first, now=now)
    start_from = {"session": str(first.pk), "version": 1}
    body = operator("POST", "/sessions", SPEC | {"start_from": start_from}).json()
    assert body["model"] == {"version": 0, "digest": first.last_model().digest}


# ---- reading


def test_a_session_with_an_open_round(operator, open_round, now):
    round_ = open_round("anna")
    server.tick(now=timezone.now())
    body = operator("GET", f"/sessions/{round_.session_id}").json()
    assert body["round"].keys() == {"number", "attempt", "status", "deadline"}
    assert (body["round"]["number"], body["round"]["status"]) == (1, "collecting")
    assert body["model"] == {"version": 0, "digest": round_.base_model.digest}
    assert [reason["reason"] for reason in body["waiting"]] == ["collecting"]
    assert body["id"] == str(round_.session_id)


@pytest.mark.parametrize("path", ["", "/rounds", "/events", "/metrics", "/models"])
def test_what_is_not_there_is_not_there(operator, path):
    for session in ("999", "0", "9" * 18, "9" * 19, "first"):
        problem(operator("GET", f"/sessions/{session}{path}"), 404)


def test_rounds_with_their_seats(operator, open_round, now):
    session = open_round("anna", "ben", quorum=1).session
    send("anna", now=now)
    (item,) = operator("GET", f"/sessions/{session.pk}/rounds").json()["items"]
    assert item.keys() >= {"number", "attempt", "status", "reason", "opened_at", "closed_at", "participations"}
    anna, ben = item["participations"]
    assert anna.keys() >= {"id", "client", "status", "reason", "num_examples", "digest"}
    assert anna["client"] == {"id": str(seat_of("anna").client_id), "name": "anna"}
    assert (anna["status"], anna["num_examples"], anna["digest"]) == ("reported", 50, seat_of("anna").digest)
    assert (ben["status"], ben["num_examples"], ben["digest"]) == ("invited", None, None)
    assert (item["closed_at"], item["opened_at"][-1]) == (None, "Z")


def test_models_with_their_parents(operator, open_round, now):
    session = open_round("anna", rounds=1).session
    send("anna", now=now)
    settle(session, now=now)
    initial, first = operator("GET", f"/sessions/{session.pk}/models").json()["items"]
    assert initial.keys() >= {"version", "digest", "num_bytes", "parent", "round", "metrics"}
    assert (initial["version"], initial["parent"], initial["round"]) == (0, None, None)
    assert (first["version"], first["parent"], first["round"]) == (1, initial["digest"], 1)


def test_events_have_their_number_as_cursor(operator, open_round):
    session = open_round("anna").session
    page = operator("GET", f"/sessions/{session.pk}/events?limit=2").json()
    assert [event["seq"] for event in page["items"]] == [1, 2] and page["next"] == "2"
    assert page["items"][0].keys() == {"seq", "kind", "time", "payload"}
    rest = operator("GET", f"/sessions/{session.pk}/events?after={page['next']}").json()
    assert [event["seq"] for event in rest["items"]] == [3, 4] and rest["next"] is None
    assert operator("GET", f"/sessions/{session.pk}/events?after=4").json() == {"items": [], "next": None}


@pytest.fixture
def points(open_round, now):
    """A session with five points of anna's loss, the last of which is not finite."""
    session = open_round("anna").session
    seat = seat_of("anna")
    values = [4.0, 3.0, 2.0, 1.0, None]
    Metric.objects.bulk_create(
        Metric(session=session, participation=seat, name="train_loss", step=step, value=value, time=now)
        for step, value in enumerate(values)
    )
    return session


def test_metrics_page_by_page(operator, points):
    page = operator("GET", f"/sessions/{points.pk}/metrics?limit=3").json()
    assert [(point["step"], point["value"]) for point in page["items"]] == [(0, 4.0), (1, 3.0), (2, 2.0)]
    assert page["items"][0].keys() >= {"client", "round", "name", "step", "value", "time"}
    rest = operator("GET", f"/sessions/{points.pk}/metrics?limit=3&after={page['next']}").json()
    assert [point["value"] for point in rest["items"]] == [1.0, None] and rest["next"] is None


@pytest.mark.parametrize("path", ["/sessions", "/clients", "/sessions/{}/rounds", "/sessions/{}/models"])
def test_a_list_has_pages_oldest_first(operator, draft, enrol, now, path):
    first = draft()
    for number in range(2, 6):
        draft(name=str(number))
    enrol("e", "d", "c", "b", "a")
    model = GlobalModel.objects.create(session=first, version=0, digest="0" * 64, num_bytes=1)
    for number in range(1, 5):
        GlobalModel.objects.create(session=first, version=number, digest="0" * 64, num_bytes=1)
    for number in range(1, 6):
        first.round_set.create(number=number, status=RoundStatus.FAILED, base_model=model, opened_at=now, deadline=now)
    path = path.format(first.pk)
    whole = operator("GET", path).json()["items"]
    assert len(whole) == 5
    seen, after = [], ""
    for _ in range(3):
        page = operator("GET", f"{path}?limit=2{after}").json()
        seen += page["items"]
        after = f"&after={page['next']}"
    assert seen == whole and page["next"] is None


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=many", "after=-1", "after=x", f"after={2**63}", "format=xml"]
)
def test_an_impossible_page_is_refused_by_name(operator, draft, query):
    answer = operator("GET", f"/sessions/{draft().pk}/metrics?{query}")
    problem(answer, 422, field=query.partition("=")[0])


# ---- steering


def test_the_actions_answer_with_the_session(operator, draft):
    address = f"/sessions/{draft().pk}"
    for action, status in [("start", "running"), ("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")]:
        answer = operator("POST", f"{address}/{action}")
        assert (answer.status_code, answer.json()["status"]) == (200, status)
    for action in ("start", "pause", "resume", "cancel"):
        assert "cancelled" in problem(operator("POST", f"{address}/{action}"), 409)


def test_an_action_is_followed_by_whatever_it_made_due(operator, draft, enqueued, django_capture_on_commit_callbacks):
    session = draft()
    with django_capture_on_commit_callbacks(execute=True):
        operator("POST", f"/sessions/{session.pk}/start")
    assert enqueued == [("advance", session.pk)]


def test_an_open_round_is_extended_skipped_and_finished(operator, open_round, now):
    round_ = open_round("anna", "ben", "carl", quorum=1)
    address = f"/sessions/{round_.session_id}/round"
    problem(operator("POST", f"{address}/finish"), 409)
    extended = operator("POST", f"{address}/extend", {"seconds": 60}).json()["round"]["deadline"]
    assert timezone.datetime.fromisoformat(extended) == (now + timedelta(seconds=660)).replace(
        microsecond=now.microsecond // 1000 * 1000
    )
    assert operator("POST", f"{address}/skip", {"participation": str(seat_of("carl").pk)}).status_code == 200
    assert seat_of("carl").status == "dropped"
    problem(operator("POST", f"{address}/skip", {"participation": str(seat_of("carl").pk)}), 409)
    send("anna", now=now)
    assert operator("POST", f"{address}/finish").json()["round"]["status"] == "aggregating"
    problem(operator("POST", f"{address}/extend", {"seconds": 60}), 409)


@pytest.mark.parametrize(
    "action, body, field",
    [
        ("extend", {"seconds": 0}, "seconds"),
        ("extend", {"seconds": 10**9}, "seconds"),
        ("extend", {"seconds": "long"}, "seconds"),
        ("extend", {}, "seconds"),
        ("skip", {"participation": "999"}, "participation"),
        ("skip", {"participation": "anna"}, "participation"),
        ("skip", {"participation": None}, "participation"),
    ],
)
def test_an_impossible_action_is_refused_by_name(operator, open_round, action, body, field):
    session = open_round("anna").session
    problem(operator("POST", f"/sessions/{session.pk}/round/{action}", body), 422, field=field)
    assert Participation.objects.get().is_open


@pytest.mark.parametrize(
    "action, body", [("finish", None), ("extend", {"seconds": 1}), ("skip", {"participation": "1"})]
)
def test_without_an_open_round_there_is_none_to_steer(operator, draft, action, body):
    problem(operator("POST", f"/sessions/{draft().pk}/round/{action}", body), 409)


def test_a_session_is_deleted_once_it_has_ended(operator, running, alice, now):
    session = running()
    problem(operator("DELETE", f"/sessions/{session.pk}"), 409)
    sessions.cancel(session, by=alice, now=now)
    answer = operator("DELETE", f"/sessions/{session.pk}")
    assert (answer.status_code, answer.content) == (204, b"")
    problem(operator("DELETE", f"/sessions/{session.pk}"), 404)


# ---- clients and invitations


def test_a_client_is_shown_disabled_and_enabled(operator, enrol, enqueued, django_capture_on_commit_callbacks):
    (anna,) = enrol("anna", num_examples=7)
    (item,) = operator("GET", "/clients").json()["items"]
    assert item.keys() == {"id", "name", "online", "last_seen", "enabled", "num_examples", "tags"}
    assert (item["id"], item["online"], item["enabled"], item["num_examples"]) == (str(anna.pk), True, True, 7)
    with django_capture_on_commit_callbacks(execute=True):
        body = operator("PATCH", f"/clients/{anna.pk}", {"enabled": False}).json()
    assert (body["enabled"], body["online"]) == (False, False)
    assert not Client.objects.get().enabled and enqueued == [("advance_all",)]
    assert operator("PATCH", f"/clients/{anna.pk}", {"enabled": True}).json()["online"] is True


def test_a_disabled_clients_update_is_dropped_and_the_round_says_why(operator, open_round, now):
    session = open_round("anna", "ben").session
    send("anna", now=now)
    operator("PATCH", f"/clients/{Client.objects.get(name='anna').pk}", {"enabled": False})
    (round_,) = operator("GET", f"/sessions/{session.pk}/rounds").json()["items"]
    told = {seat["client"]["name"]: (seat["status"], seat["reason"]) for seat in round_["participations"]}
    assert told == {"anna": ("dropped", "The client was disabled."), "ben": ("invited", "")}


@pytest.mark.parametrize("body", [{}, {"enabled": "maybe"}, {"enabled": None}, {"enabled": True, "name": "ben"}])
def test_a_client_is_changed_in_nothing_else(operator, enrol, body):
    (anna,) = enrol("anna")
    problem(operator("PATCH", f"/clients/{anna.pk}", body), 422)
    assert Client.objects.get().name == "anna"


def test_a_client_that_is_not_there_is_not_there(operator):
    problem(operator("PATCH", "/clients/999", {"enabled": False}), 404)


def test_an_invitation_lets_somebody_in(operator, call):
    answer = operator("POST", "/invitations", {"uses": 1, "expires_in_seconds": 60})
    assert answer.status_code == 201 and answer.json()["uses"] == 1
    joined = call("POST", "/enroll", {"join_code": answer.json()["join_code"], "name": "anna"})
    assert joined.status_code == 201


@pytest.mark.parametrize(
    "body, field",
    [({"uses": 0}, "uses"), ({"uses": 10**9}, "uses"), ({"expires_in_seconds": -1}, "expires_in_seconds"),
     ({"expires_in_seconds": 10**30}, "expires_in_seconds"), ({"for": "anna"}, "for")],
)  # fmt: skip
def test_an_impossible_invitation_is_refused_by_name(operator, body, field):
    problem(operator("POST", "/invitations", body), 422, field=field)


# ---- cost


def test_a_session_costs_a_handful_of_queries(operator, open_round, django_assert_max_num_queries):
    session = open_round("anna", "ben", "carl").session
    with django_assert_max_num_queries(9):
        operator("GET", f"/sessions/{session.pk}")


@pytest.mark.parametrize("what", ["rounds", "models", "events", "metrics"])
def test_a_list_costs_the_same_however_long_it_is(operator, open_round, now, django_assert_max_num_queries, what):
    session = open_round("anna", "ben", rounds=6).session
    for _ in range(5):
        for name in ("anna", "ben"):
            seat = seat_of(name)
            Metric.objects.create(session=session, participation=seat, name="loss", step=1, time=now)
            send(name, now=now)
        settle(session, now=now)
    with django_assert_max_num_queries(6):
        assert len(operator("GET", f"/sessions/{session.pk}/{what}").json()["items"]) >= 6


def test_the_list_of_sessions_costs_the_same_however_long_it_is(
    operator, running, alice, now, django_assert_max_num_queries
):
    for number in range(10):
        sessions.cancel(running(name=str(number)), by=alice, now=now)
    with django_assert_max_num_queries(6):
        assert len(operator("GET", "/sessions").json()["items"]) == 10


def test_a_session_looks_the_same_in_the_list(operator, open_round, draft):
    open_round("anna")
    draft(name="second")
    server.tick(now=timezone.now())
    for item in operator("GET", "/sessions").json()["items"]:
        alone = operator("GET", f"/sessions/{item['id']}").json()
        del item["waiting"], alone["waiting"]  # it counts seconds
        assert item == alone


def test_a_round_of_more_than_a_thousand_clients_is_listed(operator, open_round):
    round_ = open_round("anna")
    names = [f"c{n}" for n in range(1001)]
    Client.objects.bulk_create(
        Client(name=name, name_key=name, token_hash=f"{n:064}", ordinal=n + 2) for n, name in enumerate(names)
    )
    others = Client.objects.exclude(name="anna")
    Participation.objects.bulk_create(
        Participation(round=round_, client=client, seat=seat, base_version=0, status=SeatStatus.DROPPED)
        for seat, client in enumerate(others, start=2)
    )
    answer = operator("GET", f"/sessions/{round_.session_id}/rounds")
    assert answer.status_code == 200
    assert len(answer.json()["items"][0]["participations"]) == 1002


def test_an_error_of_ours_is_as_long_as_it_says(operator, open_round, monkeypatch, settings):
    session = open_round("anna").session
    monkeypatch.setattr("federation.api.rows.round_", lambda row: 1 / 0)
    for debug in (False, True):
        settings.DEBUG = debug
        answer = operator("GET", f"/sessions/{session.pk}/rounds")
        assert answer.status_code == 500 and answer.json()["status"] == 500
        assert int(answer.headers["Content-Length"]) == len(answer.content)


# ---- numbers are numbers


@pytest.mark.parametrize("odd", [True, False, "3", "", 2.5, [], {}, 10**30])
@pytest.mark.parametrize(
    "name", ["rounds", "cohort_size", "quorum", "round_seconds", "max_retries", "seed", "start_from.version"]
)
def test_a_number_of_a_session_is_no_truth_value_and_no_text(operator, name, odd):
    outer, _, inner = name.partition(".")
    value = {"session": "1", inner: odd} if inner else odd
    problem(operator("POST", "/sessions", SPEC | {outer: value}), 422, field=name)
    assert not TrainingSession.objects.exists()


@pytest.mark.parametrize("odd", [True, False, "3", 2.5, [], 10**30])
@pytest.mark.parametrize("name", ["uses", "expires_in_seconds"])
def test_a_number_of_an_invitation_is_no_truth_value_and_no_text(operator, name, odd):
    problem(operator("POST", "/invitations", {name: odd}), 422, field=name)


@pytest.mark.parametrize("odd", [0, 1, "true", "no", []])
def test_a_truth_value_is_no_number_and_no_text(operator, odd, enrol):
    [anna] = enrol("anna")
    problem(operator("PATCH", f"/clients/{anna.pk}", {"enabled": odd}), 422, field="enabled")
    problem(operator("POST", "/sessions", SPEC | {"start": odd}), 422, field="start")


def test_a_whole_number_may_be_written_with_a_point(operator):
    assert operator("POST", "/sessions", SPEC | {"rounds": 5.0, "start": False}).json()["rounds"] == 5
