import json
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from federation.api.head import Head
from federation.api.progress import MAX_BODY_BYTES, _report
from federation.lifecycle import SeatStatus
from federation.models import Client, Event, Metric, Participation
from federation.services import sessions
from federation.services.seats import progress as seat_progress
from tests.federation.api.conftest import problem
from tests.federation.cast import seat_of, send, token_of

GOOD = {"phase": "training", "fraction": 0.5, "metrics": [{"name": "train_loss", "step": 1, "value": 2.0}]}


@pytest.fixture
def progress(raw):
    def progress(name, body, by=None):
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        return raw("POST", f"/api/v1/participations/{seat_of(name).pk}/progress", sent, by=by or name)

    return progress


def test_a_client_is_told_to_go_on(open_round, progress):
    open_round("anna")
    answer = progress("anna", GOOD)
    assert (answer.status, answer.json()) == (200, {"continue": True})
    assert seat_of("anna").fraction == 0.5


def test_a_client_whose_session_was_cancelled_is_told_to_drop_it(open_round, progress, alice, now):
    session = open_round("anna").session
    sessions.cancel(session, by=alice, now=now)
    assert progress("anna", GOOD).json() == {"continue": False}


def test_a_value_that_is_not_finite_is_sent_as_null(open_round, progress):
    open_round("anna")
    body = GOOD | {"metrics": [{"name": "train_loss", "step": 1, "value": None}]}
    assert progress("anna", body).status == 200
    assert Metric.objects.get().value is None


@pytest.mark.parametrize(
    "time, kept", [("2026-01-01T12:00:00Z", 12), ("2026-01-01T12:00:00+02:00", 10), ("2026-01-01T12:00:00", 12)]
)
def test_a_points_time_is_kept_and_is_utc_where_it_does_not_say(open_round, progress, time, kept):
    open_round("anna")
    Participation.objects.update(taken_at=datetime(2025, 12, 31, tzinfo=UTC))
    body = GOOD | {"metrics": [{"name": "train_loss", "step": 1, "value": 1, "time": time}]}
    assert progress("anna", body).status == 200
    assert Metric.objects.get().time.isoformat() == f"2026-01-01T{kept}:00:00+00:00"


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "2006-01-01T00:00:00Z"])
def test_a_point_from_before_the_work_was_taken_counts_as_of_then(open_round, progress, time):
    open_round("anna")
    taken = timezone.now() - timedelta(minutes=1)
    Participation.objects.update(taken_at=taken)
    assert progress("anna", GOOD | point(time=time)).status == 200
    assert Metric.objects.get().time == taken


@pytest.mark.parametrize("time", ["2046-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_a_point_from_the_future_counts_as_of_now(open_round, progress, time):
    open_round("anna")
    before = timezone.now()
    assert progress("anna", GOOD | point(time=time)).status == 200
    assert before <= Metric.objects.get().time <= timezone.now()
    (told,) = Event.objects.get(kind=Event.Kind.METRICS_REPORTED).payload["points"]
    assert told["time"] == Metric.objects.get().time.isoformat()


def test_a_measures_name_is_normalised(open_round, progress):
    open_round("anna")
    assert progress("anna", GOOD | point(name=" cafe\u0301 ")).status == 200
    assert Metric.objects.get().name == "caf\u00e9"


@pytest.mark.parametrize("step", [0, 2**53 + 1, 2**63 - 1])
def test_every_step_that_the_contract_allows_is_taken(open_round, progress, step):
    open_round("anna")
    assert progress("anna", GOOD | point(step=step)).status == 200
    assert Metric.objects.get().step == step


def point(**change):
    return {"metrics": [{"name": "train_loss", "step": 1, "value": 2.0} | change]}


@pytest.mark.parametrize(
    "change, field",
    [
        ({"phase": "dancing"}, "phase"),
        ({"phase": None}, "phase"),
        ({"fraction": -0.1}, "fraction"),
        ({"fraction": 1.1}, "fraction"),
        ({"fraction": float("nan")}, "fraction"),
        ({"metrics": {}}, "metrics"),
        ({"metrics": [GOOD["metrics"][0]] * 10_001}, "metrics"),
        (point(value=float("nan")), "metrics.0.value"),
        (point(value=float("-inf")), "metrics.0.value"),
        (point(value="low"), "metrics.0.value"),
        (point(step=-1), "metrics.0.step"),
        (point(step=2**63), "metrics.0.step"),
        (point(step=0.5), "metrics.0.step"),
        (point(name=""), "metrics.0.name"),
        (point(name="x" * 65), "metrics.0.name"),
        (point(name="a\x00b"), "metrics.0.name"),
        (point(name="a\ud800"), "metrics.0.name"),
        (point(name="   "), "metrics.0.name"),
        (point(name="loss\nof"), "metrics.0.name"),
        (point(name="\u202essol"), "metrics.0.name"),
        (point(name="lo\u200bss"), "metrics.0.name"),
        (point(time="yesterday"), "metrics.0.time"),
        (point(time="9999-12-31T23:59:59-14:00"), "metrics.0.time"),
        (point(time="0001-01-01T00:00:00+14:00"), "metrics.0.time"),
        (point(unit="nats"), "metrics.0.unit"),
        ({"mood": "good"}, "mood"),
    ],
)
def test_what_cannot_be_is_refused_by_name_and_good_progress_is_taken_next(open_round, progress, change, field):
    open_round("anna")
    problem(progress("anna", GOOD | change), 422, field=field)
    assert not Metric.objects.exists()
    assert progress("anna", GOOD).status == 200
    assert Metric.objects.count() == 1


def test_another_clients_seat_is_not_there(open_round, progress):
    open_round("anna", "ben")
    problem(progress("anna", GOOD, by="ben"), 404)
    assert not Metric.objects.exists()


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_not_json_is_refused(open_round, progress, body):
    open_round("anna")
    assert "JSON" in problem(progress("anna", body), 400)


def test_a_body_that_is_too_large_is_refused(open_round, progress):
    open_round("anna")
    problem(progress("anna", b" " * (MAX_BODY_BYTES + 1)), 413)


def test_a_seat_that_is_not_there_is_not_there(open_round, call, raw):
    open_round("anna")
    for seat in ("999999", "9" * 18):
        problem(raw("POST", f"/api/v1/participations/{seat}/progress", json.dumps(GOOD).encode(), by="anna"), 404)
    for seat in ("9" * 19, "-1", "anna", "1.0"):
        problem(call("POST", f"/participations/{seat}/progress", GOOD, token=token_of("anna")), 404)


def test_a_client_gives_its_seat_up_once_or_twice(open_round, call, enqueued, django_capture_on_commit_callbacks):
    session = open_round("anna", "ben").session
    url = f"/participations/{seat_of('anna').pk}/fail"
    for _ in range(2):
        with django_capture_on_commit_callbacks(execute=True):
            answer = call("POST", url, {"reason": "no data"}, token=token_of("anna"))
        assert (answer.status_code, answer.json()) == (200, {})
    assert (seat_of("anna").status, seat_of("anna").reason) == (SeatStatus.FAILED, "no data")
    assert set(enqueued) == {("advance", session.pk)}


@pytest.mark.parametrize("reason", ["a\x00b", "a\ud800", "x" * 2001, 7])
def test_a_reason_that_cannot_be_kept_is_refused(open_round, call, reason):
    open_round("anna")
    url = f"/participations/{seat_of('anna').pk}/fail"
    problem(call("POST", url, {"reason": reason}, token=token_of("anna")), 422, field="reason")
    assert call("POST", url, {}, token=token_of("anna")).status_code == 200
    assert seat_of("anna").reason == "The client gave no reason."


def test_a_seat_that_has_reported_cannot_be_given_up(open_round, call, now):
    open_round("anna", "ben")
    send("anna", now=now)
    problem(call("POST", f"/participations/{seat_of('anna').pk}/fail", {}, token=token_of("anna")), 409)


def test_who_leaves_drops_its_seat_and_others_go_on(
    open_round, call, now, django_capture_on_commit_callbacks, enqueued
):
    open_round("anna", "ben")
    with django_capture_on_commit_callbacks(execute=True):
        assert call("POST", "/clients/me/leave", token=token_of("anna")).status_code == 200
    assert seat_of("anna").status == SeatStatus.DROPPED
    assert not Client.objects.get(name="anna").is_online(now)
    assert enqueued == [("advance_all",)]


def test_progress_costs_a_handful_of_queries(open_round, django_assert_max_num_queries):
    open_round("anna")
    body = GOOD | {"metrics": [{"name": "train_loss", "step": step, "value": 1.0} for step in range(100)]}
    headers, seat_id = {"authorization": f"Bearer {token_of('anna')}"}, seat_of("anna").pk
    with django_assert_max_num_queries(8):  # two of them begin and end the transaction
        assert _report(Head(headers), seat_id, json.dumps(body).encode()) == {"continue": True}


# ---- what a client measured, by its own clock


TIMINGS = {"downloading": 0.04, "training": 0.9, "evaluating": 0.2}


def test_timings_are_kept_with_the_seat(open_round, progress):
    open_round("anna")
    assert progress("anna", GOOD).status == 200
    assert (seat_of("anna").timings, seat_of("anna").trained_at) == (None, None)
    assert progress("anna", GOOD | {"phase": "uploading", "timings": TIMINGS}).status == 200
    assert seat_of("anna").timings == TIMINGS
    assert seat_of("anna").trained_at is not None
    assert progress("anna", GOOD | {"phase": "uploading"}).status == 200
    assert seat_of("anna").timings == TIMINGS


def test_a_phase_may_be_left_out_of_timings(open_round, progress):
    open_round("anna")
    assert progress("anna", GOOD | {"timings": {"training": 1, "evaluating": None}}).status == 200
    assert seat_of("anna").timings == {"training": 1.0}


@pytest.mark.parametrize(
    ("timings", "field"),
    [
        ({"training": -1}, "timings.training"),
        ({"training": 1e300}, "timings.training"),
        ({"training": "long"}, "timings.training"),
        ({"sleeping": 1}, "timings.sleeping"),
        ([1], "timings"),
    ],
)
def test_impossible_timings_are_refused_by_name(open_round, progress, timings, field):
    open_round("anna")
    answer = progress("anna", GOOD | {"timings": timings})
    assert answer.status == 422 and field in [one["field"] for one in answer.json()["errors"]]
    assert seat_of("anna").timings is None


@pytest.mark.parametrize("off", [timedelta(days=20 * 365), timedelta(hours=-1), timedelta()])
def test_times_of_points_are_mapped_to_the_servers_clock(open_round, progress, off):
    open_round("anna")
    Participation.objects.update(taken_at=timezone.now() - timedelta(minutes=1))
    sent = timezone.now() + off
    points = [
        {"name": "loss", "step": step, "value": 1, "time": (sent - timedelta(seconds=ago)).isoformat()}
        for step, ago in ((1, 30), (2, 10), (3, 0))
    ]
    before = timezone.now()
    assert progress("anna", GOOD | {"metrics": points, "sent_at": sent.isoformat()}).status == 200
    first, second, third = Metric.objects.order_by("step").values_list("time", flat=True)
    assert (second - first, third - second) == (timedelta(seconds=20), timedelta(seconds=10))
    assert before <= third <= timezone.now()


@given(sent=st.datetimes(timezones=st.just(UTC)), time=st.datetimes(timezones=st.just(UTC)))
def test_whatever_a_clients_clock_says_its_points_lie_within_its_work(sent, time):
    now = datetime(2026, 11, 27, tzinfo=UTC)
    seat = Participation(taken_at=now - timedelta(minutes=1))
    (point,) = seat_progress._timed(seat, [seat_progress.Point("loss", 1, 1.0, time)], sent, now)
    assert seat.taken_at <= point.time <= now


def test_a_point_without_a_time_counts_as_of_its_arrival(open_round, progress):
    open_round("anna")
    before = timezone.now()
    assert progress("anna", GOOD | {"sent_at": "2001-01-01T00:00:00Z"}).status == 200
    assert before <= Metric.objects.get().time <= timezone.now()
