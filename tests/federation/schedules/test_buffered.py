"""Whoever is free works, and every so many updates make a version."""

from datetime import UTC, datetime, timedelta

import pytest

from federation.lifecycle import RoundStatus
from federation.schedules import Crowd, Tally, Terms, build

DEADLINE = datetime(2026, 1, 1, tzinfo=UTC)
BEFORE, AFTER = DEADLINE - timedelta(seconds=1), DEADLINE + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("tally", "now", "expected"),
    [
        (Tally(4, 3), BEFORE, RoundStatus.AGGREGATING),
        (Tally(4, 1, late=2), BEFORE, RoundStatus.AGGREGATING),
        (Tally(4, 2), BEFORE, None),
        (Tally(0, 2), BEFORE, None),
        (Tally(4, 1), AFTER, RoundStatus.AGGREGATING),
        (Tally(4, 0, late=1), AFTER, RoundStatus.AGGREGATING),
        (Tally(4, 0), AFTER, RoundStatus.COLLECTING),
    ],
)
def test_it_closes_at_the_quorum_and_never_fails_for_it(tally, now, expected):
    schedule = build("buffered", {}, Terms(quorum=3))
    assert schedule.verdict(tally, deadline=DEADLINE, now=now) == expected


@pytest.mark.parametrize(
    ("cohort_size", "crowd", "asked"),
    [(None, Crowd(5, 5), 5), (4, Crowd(9, 9, working=1), 3), (4, Crowd(9, 9, working=4), 0), (4, Crowd(9, 2), 2)],
)
def test_the_cohort_bounds_how_many_work_at_a_time(cohort_size, crowd, asked):
    schedule = build("buffered", {}, Terms(quorum=3, cohort_size=cohort_size))
    assert schedule.asked(crowd) == asked
    assert schedule.needed == 1


def test_everybody_goes_on():
    assert build("buffered", {}, Terms()).goes_on()
