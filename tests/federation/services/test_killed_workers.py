"""Workers that are killed over one round, again and again."""

from datetime import timedelta

import pytest

from federation.lifecycle import RoundStatus, SessionStatus
from federation.models import Round
from federation.services import rounds
from tests.federation.cast import send, settle
from tests.federation.services.moves import advance, fresh

pytestmark = pytest.mark.django_db


def killed(round_, times, now):
    """A worker takes the round and is killed over it, again and again."""
    for _ in range(times):
        now += timedelta(seconds=11)
        assert rounds.claim(round_, now=now)
    return now + timedelta(seconds=11)


def test_a_round_over_which_the_worker_was_killed_twenty_times_fails(closed, now):
    round_ = closed(max_retries=0)
    later = killed(round_, 20, now)
    assert advance(round_.session, later)
    failed = Round.objects.get()
    assert failed.status == RoundStatus.FAILED
    assert "20 times" in failed.reason and "killed" in failed.reason


def test_nineteen_times_are_not_enough(closed, now):
    round_ = closed(rounds=1)
    later = killed(round_, 19, now)
    assert settle(round_.session, now=later).status == SessionStatus.COMPLETED


def test_kills_over_several_rounds_do_not_add_up(closed, now):
    session = closed(rounds=3, round_seconds=10_000).session
    for number in (1, 2, 3):
        later = killed(session.active_round(), 15, now)
        settle(session, now=later)
        if number < 3:
            settle(session, now=now)
            send("anna", now=now)
            send("ben", now=now)
            assert advance(session, now)
    assert fresh(session).status == SessionStatus.COMPLETED


def test_a_worker_that_is_at_work_the_twentieth_time_is_not_disturbed(closed, now):
    round_ = closed()
    later = killed(round_, 20, now) - timedelta(seconds=6)
    assert not advance(round_.session, later)
    assert Round.objects.get().status == RoundStatus.AGGREGATING
