"""More clients are asked than are needed."""

from datetime import UTC, datetime, timedelta

import pytest

from federation.fl.options import OptionError
from federation.lifecycle import LatePolicy, RoundStatus
from federation.schedules import Crowd, Tally, Terms, build

DEADLINE = datetime(2026, 1, 1, tzinfo=UTC)
BEFORE, AFTER = DEADLINE - timedelta(seconds=1), DEADLINE + timedelta(seconds=1)


def over(extra=0.3, **terms):
    return build("over_selected", {"extra": extra}, Terms(**terms))


@pytest.mark.parametrize(
    ("quorum", "extra", "free", "asked"),
    [(10, 0.3, 100, 13), (3, 0.3, 100, 4), (10, 0.0, 100, 10), (10, 0.3, 12, 12), (10, 0.1, 100, 11), (1, 0.3, 9, 2)],
)
def test_it_asks_more_than_the_quorum_and_at_most_those_who_are_free(quorum, extra, free, asked):
    assert over(extra, quorum=quorum).asked(Crowd(online=200, free=free)) == asked


@pytest.mark.parametrize(
    ("open_seats", "reported", "now", "expected"),
    [
        (1, 3, BEFORE, RoundStatus.AGGREGATING),
        (2, 2, BEFORE, None),
        (0, 2, BEFORE, RoundStatus.FAILED),
        (2, 2, AFTER, RoundStatus.FAILED),
    ],
)
def test_it_closes_at_the_quorum(open_seats, reported, now, expected):
    assert over(quorum=3).verdict(Tally(open_seats, reported), deadline=DEADLINE, now=now) == expected


def test_the_rest_goes_on_where_late_updates_count():
    assert not over().goes_on()
    assert over(late_policy=LatePolicy.NEXT_ROUND).goes_on()


def test_its_option_is_checked():
    assert build("over_selected", {}, Terms()).asked(Crowd(online=9, free=9)) == 2
    with pytest.raises(OptionError, match="extra of schedule over_selected must be a number from 0 to 10"):
        over(-0.1)
