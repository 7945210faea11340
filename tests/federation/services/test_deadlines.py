"""The time for a round, learnt from how long the session's clients took."""

from datetime import timedelta

import pytest

from federation.models import Client, Event, Participation, TrainingSession
from federation.services import seats
from federation.services.rounds import deadlines
from tests.federation.cast import last_payload, send, settle

pytestmark = pytest.mark.django_db


@pytest.fixture
def session(open_round):
    """Round 1 is open for anna and ben; one must report."""
    return open_round("anna", "ben", quorum=1, rounds=100).session


@pytest.fixture
def play(now):
    """Lets clients report so many seconds after their round opened, or stay silent (None); the next round opens."""

    def play(session, **took):
        round_ = session.active_round()
        for name, seconds in took.items():
            if seconds is not None:
                send(name, now=round_.opened_at + timedelta(seconds=seconds))
        end = round_.opened_at + timedelta(seconds=max(seconds or 0 for seconds in took.values()))
        if None in took.values():
            end = round_.deadline
        Client.objects.update(last_seen=end)
        return settle(session, now=end)

    return play


def test_nothing_is_suggested_before_a_client_has_reported_three_times(session, play):
    for _ in range(2):
        play(session, anna=20, ben=30)
        assert deadlines.suggested(session) is None
    play(session, anna=20, ben=30)
    assert deadlines.suggested(session) is not None


def test_it_is_the_slowest_clients_median_and_four_times_its_spread(session, play):
    for anna, ben in ((20, 100), (20, 120), (20, 110), (20, 150), (20, 130)):
        play(session, anna=anna, ben=ben)
    found = deadlines.suggested(session)
    assert (found.client["name"], found.median, found.spread, found.reports) == ("ben", 120, 10, 5)
    assert found.seconds == 180  # half as much again as the median, which is more than 120 + 4 * 10


def test_of_clients_that_need_no_longer_than_the_shortest_time_the_slowest_is_named(session, play):
    for _ in range(3):
        play(session, anna=2, ben=1)
    found = deadlines.suggested(session)
    assert (found.client["name"], found.median, found.seconds) == ("anna", 2, 10)


def test_a_wide_spread_counts_more_than_half_the_median(session, play):
    for ben in (100, 120, 160, 60, 110):
        play(session, anna=20, ben=ben)
    found = deadlines.suggested(session)
    assert (found.median, found.spread, found.seconds) == (110, 10, 165)
    for ben in (20, 220, 200):
        play(session, anna=20, ben=ben)
    found = deadlines.suggested(session)
    assert (found.median, found.spread, found.seconds) == (115, 50, 315)


def test_one_odd_round_moves_little(session, play):
    for ben in (100, 101, 500, 99, 100):
        play(session, anna=20, ben=ben)
    assert deadlines.suggested(session).seconds == 150


def test_only_the_newest_ten_rounds_count(session, play):
    for _ in range(10):
        play(session, anna=20, ben=400)
    for _ in range(10):
        play(session, anna=20, ben=40)
    assert deadlines.suggested(session).seconds == 60


@pytest.mark.parametrize(("took", "seconds"), [(0.1, 10), (6.0, 10), (8.0, 12)])
def test_it_is_ten_seconds_at_least(session, play, took, seconds):
    for _ in range(3):
        play(session, anna=took, ben=took)
    assert deadlines.suggested(session).seconds == seconds


def test_it_is_thirty_days_at_most(session, play):
    for _ in range(3):
        play(session, anna=1, ben=2)
    Participation.objects.exclude(reported_at=None).update(reported_at=session.created_at + timedelta(days=25))
    assert deadlines.suggested(session).seconds == 2_592_000


def test_a_client_that_is_cut_off_at_work_gets_twice_its_time(session, play):
    for _ in range(3):
        play(session, anna=20, ben=30)
    round_ = session.active_round()
    ben = Client.objects.get(name="ben")
    assert seats.offer(ben, now=round_.deadline - timedelta(seconds=1))
    play(session, anna=20, ben=None)
    found = deadlines.suggested(session)
    assert (found.client["name"], found.cut_off, found.seconds) == ("ben", True, 1200)


def test_a_client_that_went_silent_does_not(session, play):
    for _ in range(3):
        play(session, anna=20, ben=30)
    assert seats.offer(Client.objects.get(name="ben"), now=session.active_round().opened_at)
    play(session, anna=20, ben=None)
    assert deadlines.suggested(session).seconds == 45


# ---- used


@pytest.fixture
def auto(open_round):
    return open_round("anna", "ben", quorum=1, rounds=100, auto_deadline=True, round_seconds=500).session


def test_a_session_that_wants_it_learnt_uses_it_from_then_on_and_says_why(auto, play):
    for _ in range(3):
        assert (auto.active_round().deadline - auto.active_round().opened_at).total_seconds() == 500
        play(auto, anna=20, ben=100)
    round_ = auto.active_round()
    assert (round_.deadline - round_.opened_at).total_seconds() == 150
    auto = TrainingSession.objects.get()
    assert auto.round_seconds == 150
    assert auto.learnt_deadline == deadlines.suggested(auto).as_json()
    assert last_payload(auto, Event.Kind.ROUND_OPENED)["learnt"]["client"]["name"] == "ben"


def test_one_that_does_not_keeps_its_own(session, play):
    for _ in range(4):
        play(session, anna=20, ben=100)
    assert TrainingSession.objects.get().round_seconds == 600
    assert "learnt" not in last_payload(session, Event.Kind.ROUND_OPENED)


def test_it_takes_two_queries_for_any_number_of_clients(session, play, django_assert_num_queries):
    for _ in range(3):
        play(session, anna=20, ben=30)
    with django_assert_num_queries(2):
        deadlines.suggested(session)
