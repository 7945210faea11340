"""When a round closes."""

from datetime import UTC, datetime, timedelta

import pytest

from federation.lifecycle import LatePolicy, RoundStatus
from federation.schedules import Crowd, Tally, Terms, build

DEADLINE = datetime(2026, 1, 1, tzinfo=UTC)
BEFORE, AFTER = DEADLINE - timedelta(seconds=1), DEADLINE + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("open_seats", "reported", "now", "expected"),
    [
        (0, 4, BEFORE, RoundStatus.AGGREGATING),
        (1, 3, BEFORE, None),
        (1, 3, AFTER, RoundStatus.AGGREGATING),
        (2, 2, AFTER, RoundStatus.FAILED),
        (0, 0, BEFORE, RoundStatus.FAILED),
    ],
)
def test_a_round_closes_when_no_seat_is_open_or_at_the_deadline(open_seats, reported, now, expected):
    schedule = build("synchronous", {}, Terms(quorum=3))
    assert schedule.verdict(Tally(open_seats, reported), deadline=DEADLINE, now=now) == expected


@pytest.mark.parametrize(("cohort_size", "online", "asked"), [(None, 5, 5), (3, 5, 3), (3, 2, 2)])
def test_it_asks_a_cohort_of_those_online_and_waits_for_busy_ones(cohort_size, online, asked):
    schedule = build("synchronous", {}, Terms(quorum=2, cohort_size=cohort_size))
    assert schedule.asked(Crowd(online=online, free=0)) == asked
    assert schedule.needed == 2


def test_seats_go_on_where_late_updates_count():
    assert not build("synchronous", {}, Terms()).goes_on()
    assert build("synchronous", {}, Terms(late_policy=LatePolicy.NEXT_ROUND)).goes_on()
