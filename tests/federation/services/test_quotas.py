"""What one client may cause is bounded: its points, its measures, and the events that tell of what it does."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from federation.errors import Invalid
from federation.models import Client, ClientLog, Event, Metric, Phase, ServerEvent
from federation.services import clients, rounds
from federation.services.clients import agent_log, noting
from federation.services.seats import progress, quotas, updates
from federation.services.seats.progress import Point
from tests.federation.cast import kinds, seat_of, send, server_kinds, settle

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def fresh():
    quotas._accounts.clear()


@pytest.fixture
def report(now):
    """A client reports points of these names and steps."""

    def report(name, *points, phase=Phase.TRAINING, fraction=0.5, at=now, seat=None):
        given = [Point(measure, step, 1.0, at) for measure, step in points]
        return progress.report(seat or seat_of(name), phase=phase, fraction=fraction, points=given, now=at)

    return report


def stored(name):
    return Metric.objects.filter(participation__client__name=name).count()


def test_a_seat_keeps_so_many_points_and_its_client_goes_on(open_round, report, monkeypatch):
    monkeypatch.setattr(quotas, "SEAT_POINTS", 5)
    session = open_round("anna", "ben").session
    for start in range(0, 20, 4):
        assert report("anna", *(("loss", step) for step in range(start, start + 4)))
    assert stored("anna") == 5
    seat = seat_of("anna")
    assert (seat.num_points, seat.points_left_out) == (5, 15)
    assert kinds(session).count("metrics.left_out") == 1, "told once"
    assert report("ben", ("loss", 1)) and stored("ben") == 1, "nobody else is held to account"


def test_points_sent_twice_count_once(open_round, report, monkeypatch):
    monkeypatch.setattr(quotas, "SEAT_POINTS", 4)
    session = open_round("anna").session
    for _ in range(3):
        report("anna", ("loss", 1), ("loss", 1), ("loss", 2))
    report("anna", ("loss", 3))
    assert stored("anna") == 3 and seat_of("anna").points_left_out == 0
    assert "metrics.left_out" not in kinds(session)


def test_a_seat_has_so_many_measures(open_round, report, monkeypatch):
    monkeypatch.setattr(quotas, "SEAT_MEASURES", 3)
    open_round("anna")
    report("anna", *((f"m{number}", 0) for number in range(5)))
    report("anna", ("m0", 1), ("m9", 1), ("m1", 1))
    assert set(Metric.objects.values_list("name", "step")) == {("m0", 0), ("m1", 0), ("m2", 0), ("m0", 1), ("m1", 1)}
    assert seat_of("anna").points_left_out == 3


def test_of_all_rounds_of_a_session_together_so_many_points_are_kept(open_round, report, now, monkeypatch):
    monkeypatch.setattr(quotas, "SESSION_POINTS", 5)
    session = open_round("anna").session
    report("anna", *(("loss", step) for step in range(4)))
    send("anna", now=now)
    settle(session, now=now)
    assert session.active_round().number == 2
    quotas._accounts.clear()  # the process was started anew
    report("anna", *(("loss", step) for step in range(4)))
    assert stored("anna") == 5 and seat_of("anna").points_left_out == 3


def test_a_server_that_was_started_anew_knows_what_a_seat_has(open_round, report, monkeypatch):
    monkeypatch.setattr(quotas, "SEAT_MEASURES", 2)
    monkeypatch.setattr(quotas, "SEAT_POINTS", 4)
    open_round("anna")
    report("anna", ("a", 0), ("b", 0))
    quotas._accounts.clear()
    report("anna", ("a", 1), ("c", 0), ("b", 1), ("a", 2))
    assert set(Metric.objects.values_list("name", "step")) == {("a", 0), ("b", 0), ("a", 1), ("b", 1)}


def test_a_seat_that_is_closed_is_held_to_it_too(open_round, report, monkeypatch):
    monkeypatch.setattr(quotas, "SEAT_POINTS", 3)
    open_round("anna", "ben")
    seat = seat_of("anna")
    rounds.skip(seat.round.session, seat.pk, by="alice")
    for step in range(6):
        assert not report("anna", ("loss", step))
    assert stored("anna") == 3 and seat_of("anna").points_left_out == 3


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 5)), max_size=12), max_size=8))
def test_whatever_is_sent_the_bounds_hold_and_nothing_within_them_is_lost(open_round, report, calls, monkeypatch):
    monkeypatch.setattr(quotas, "SEAT_POINTS", 9)
    monkeypatch.setattr(quotas, "SEAT_MEASURES", 4)
    if not Client.objects.exists():
        open_round("anna")
    seat = seat_of("anna")
    Metric.objects.all().delete()
    type(seat).objects.update(num_points=0, points_left_out=0)
    quotas._accounts.clear()
    for points in calls:
        assert report("anna", *points)
    kept, sent = set(Metric.objects.values_list("name", "step")), {point for points in calls for point in points}
    assert kept <= sent and len(kept) <= 9 and len({name for name, _ in kept}) <= 4
    seat = seat_of("anna")
    assert seat.num_points == len(kept)
    assert kept == sent or seat.points_left_out > 0


def test_a_call_with_very_many_points_is_told_in_several_events(open_round, report):
    session = open_round("anna").session
    report("anna", *(("loss", step) for step in range(1200)))
    told = Event.objects.filter(session=session, kind=Event.Kind.METRICS_REPORTED).order_by("seq")
    assert [len(event.payload["points"]) for event in told] == [500, 500, 200]


def test_who_says_something_else_all_the_time_is_quoted_now_and_then(open_round, report, now, monkeypatch):
    monkeypatch.setattr(quotas, "FREE_REPORTS", 10)
    session = open_round("anna").session
    for number in range(50):
        report("anna", phase=(Phase.TRAINING, Phase.DOWNLOADING)[number % 2], fraction=number / 50)
    assert kinds(session).count("metrics.reported") == 10
    assert seat_of("anna").fraction == 49 / 50, "the seat has the last word all the same"
    report("anna", fraction=0.99, at=now + SECOND)
    report("anna", ("loss", 1), at=now + SECOND)
    assert kinds(session).count("metrics.reported") == 12, "points are always told"


def test_of_refused_updates_of_a_seat_so_many_are_told(open_round, now, monkeypatch):
    monkeypatch.setattr(updates, "TOLD_REJECTIONS", 3)
    session = open_round("anna").session
    for number in range(8):
        with pytest.raises(Invalid):
            send("anna", b"no update" * number, now=now)
    assert kinds(session).count("update.rejected") == 3
    assert seat_of("anna").rejections == 8 and seat_of("anna").reason
    assert send("anna", now=now), "a good one is taken"


def test_leaving_and_coming_back_for_ever_fills_no_log(enrol, now, monkeypatch):
    monkeypatch.setattr(noting, "NOTED", 6)
    anna, ben = enrol("anna", "ben")
    for _ in range(20):
        clients.leave(anna, now=now)
        clients.touch(Client.objects.get(pk=anna.pk), now=now)
    assert len(server_kinds()) == 2 + 6
    assert Client.objects.get(pk=anna.pk).is_online(now), "what is so does not depend on what is told"
    clients.leave(ben, now=now)
    assert server_kinds()[-1] == "client.left" and len(server_kinds()) == 2 + 7
    clients.leave(anna, now=now + noting.NOTED_WITHIN)
    assert len(server_kinds()) == 2 + 8


def test_telling_other_data_for_ever_fills_no_log(enrol, now, monkeypatch):
    monkeypatch.setattr(noting, "NOTED", 4)
    (anna,) = enrol("anna", num_examples=1)
    for number in range(20):
        assert clients.tell(anna, {"num_examples": number + 2}, now=now)
    assert ServerEvent.objects.filter(kind="client.changed").count() == 4
    assert Client.objects.get().num_examples == 21


def test_a_log_is_bounded_in_lines_and_in_length(enrol, now):
    (anna,) = enrol("anna")
    for number in range(3):
        clients.add_to_log(anna, [(now, f"{number}" * 2000)] * 200)
    lines = ClientLog.objects.get().lines
    assert sum(len(text) for _, text in lines) <= agent_log.LOG_CHARACTERS and lines[-1][1].startswith("222")
    clients.add_to_log(anna, [(now, "short")] * 400)
    assert len(ClientLog.objects.get().lines) == agent_log.LOG_LINES
