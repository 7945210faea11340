from datetime import timedelta

import pytest

from federation.lifecycle import SeatStatus
from federation.models import Event, Metric, Phase
from federation.services import seats, sessions
from federation.services.seats import progress as reports
from federation.services.seats.progress import Point
from tests.federation.cast import at_once, kinds, last_payload, seat_of, send


@pytest.fixture
def progress(now):
    """A client says how far it is."""

    def progress(name, *values, phase=Phase.TRAINING, fraction=0.5, at=now, metric="train_loss"):
        points = [Point(metric, step, value, at) for step, value in enumerate(values)]
        return reports.report(seat_of(name), phase=phase, fraction=fraction, points=points, now=at)

    return progress


def test_points_are_kept_and_told_in_one_event(open_round, progress, now):
    session = open_round("anna").session
    assert progress("anna", 2.0, None, 0.5)
    assert list(Metric.objects.values_list("step", "value")) == [(0, 2.0), (1, None), (2, 0.5)]
    payload = last_payload(session, Event.Kind.METRICS_REPORTED)
    assert payload["client"] == {"id": str(seat_of("anna").client_id), "name": "anna"}
    assert (payload["round"], payload["phase"], payload["fraction"]) == (1, "training", 0.5)
    assert [point["value"] for point in payload["points"]] == [2.0, None, 0.5]


def test_a_point_that_is_sent_twice_counts_once(open_round, progress):
    session = open_round("anna").session
    progress("anna", 2.0, 1.0)
    progress("anna", 2.0, 1.0, 0.5)
    assert Metric.objects.count() == 3
    assert [point["step"] for point in last_payload(session, Event.Kind.METRICS_REPORTED)["points"]] == [2]


def test_what_adds_nothing_is_no_event(open_round, progress):
    session = open_round("anna").session
    progress("anna", 2.0)
    progress("anna", 2.0)
    assert kinds(session).count("metrics.reported") == 1


def test_how_far_the_training_is_is_told_without_a_point_too(open_round, progress):
    session = open_round("anna").session
    progress("anna", 2.0)
    progress("anna", 2.0, fraction=0.6)
    payload = last_payload(session, Event.Kind.METRICS_REPORTED)
    assert (payload["fraction"], payload["points"]) == (0.6, [])


def test_a_step_of_another_curve_is_another_point(open_round, progress):
    open_round("anna")
    progress("anna", 2.0)
    progress("anna", 0.5, metric="train_accuracy")
    assert Metric.objects.count() == 2


def test_each_phase_is_told_when_it_begins(open_round, progress, now):
    session = open_round("anna").session
    for seconds, phase in enumerate(Phase):
        progress("anna", phase=phase, at=now + timedelta(seconds=seconds))
        progress("anna", phase=phase, at=now + timedelta(seconds=seconds))
    assert kinds(session).count("metrics.reported") == 4
    seat = seat_of("anna")
    assert (seat.training_at, seat.trained_at) == (now + timedelta(seconds=1), now + timedelta(seconds=3))
    assert (seat.phase, seat.phase_at) == (Phase.UPLOADING, now + timedelta(seconds=3))


def test_the_client_of_a_cancelled_session_is_told_to_drop_the_work(open_round, progress, alice, now):
    session = open_round("anna").session
    sessions.cancel(session, by=alice, now=now)
    assert not progress("anna")


def test_the_client_of_a_skipped_seat_is_told_to_drop_the_work(open_round, progress):
    open_round("anna", "ben")
    seats.skip(seat_of("anna"), by="alice")
    assert not progress("anna", 1.0)
    assert progress("ben", 1.0)


def test_progress_never_opens_a_seat_again(open_round, progress, now):
    open_round("anna", "ben")
    seat = seat_of("anna")
    send("anna", now=now)
    reports.report(seat, phase=Phase.TRAINING, fraction=0.1, points=[], now=now)  # it was looked up before
    assert (seat_of("anna").status, seat_of("anna").fraction) == (SeatStatus.REPORTED, 1.0)


@pytest.mark.django_db(transaction=True)
def test_the_same_points_at_once_count_once(open_round, progress):
    session = open_round("anna").session
    values = [float(step) for step in range(50)]
    assert at_once(*[lambda: progress("anna", *values)] * 3) == [True] * 3
    assert Metric.objects.count() == 50
    told = Event.objects.filter(session=session, kind=Event.Kind.METRICS_REPORTED)
    assert sum(len(event.payload["points"]) for event in told) == 50
