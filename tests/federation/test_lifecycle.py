"""When a round closes."""

from datetime import UTC, datetime, timedelta

import pytest

from federation.lifecycle import RoundStatus, verdict

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
    assert verdict(open_seats=open_seats, reported=reported, quorum=3, deadline=DEADLINE, now=now) == expected
