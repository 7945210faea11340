"""Rounds open, fail, are tried again, and give way to one another."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from federation.errors import Conflict
from federation.lifecycle import RoundStatus, SeatStatus, SessionStatus
from federation.models import Participation, Round
from federation.services import clients, rounds, seats, sessions, waiting
from tests.federation.rules.clock import NOW, later


def test_a_round_waits_for_its_quorum_and_says_so(enrol, launch):
    enrol("north")
    session = launch(quorum=2)
    assert not rounds.advance(session, now=NOW)
    assert "too_few_clients" in [r["reason"] for r in waiting.reasons(session, now=NOW)]
    enrol("south")
    assert rounds.advance(session, now=NOW)


def test_only_one_worker_wins_the_round(open_round):
    first, second = Round.objects.get(), Round.objects.get()
    assert rounds.move(first, RoundStatus.AGGREGATING)
    assert not rounds.move(second, RoundStatus.AGGREGATING)
    assert rounds.claim(first, now=NOW)
    assert rounds.claim(second, now=NOW) is None
    assert rounds.claim(second, now=later(11)), "a dead worker's claim ends"


def test_a_client_never_holds_two_open_seats(open_round, launch):
    other = launch(name="second")
    assert not rounds.open_next(now=NOW)
    assert "clients_busy" in [r["reason"] for r in waiting.reasons(other, now=NOW)]
    seat = open_round.seats.first()
    another = Round.objects.create(
        session=other, number=1, base_model=other.last_model(), opened_at=NOW, deadline=later(60)
    )
    with pytest.raises(IntegrityError), transaction.atomic():
        Participation.objects.create(round=another, client=seat.client, seat=1, base_version=0)


def test_a_failed_round_is_tried_again_and_then_fails_the_session(session):
    for attempt, now in ((1, NOW), (2, NOW), (3, NOW + timedelta(seconds=9))):
        assert rounds.advance(session, now=now)
        assert session.last_round().attempt == attempt
        for seat in Participation.objects.filter(status=SeatStatus.INVITED):
            seats.fail(seat, reason="out of disk")
        assert rounds.advance(session, now=now)
        assert session.last_round().status == RoundStatus.FAILED
    session.refresh_from_db()
    assert session.status == SessionStatus.FAILED
    assert "Round 1 failed 3 times" in session.reason


def test_leaving_and_disabling_drop_open_seats(open_round):
    north, south, _ = (seat.client for seat in open_round.seats.order_by("seat"))
    clients.leave(north)
    clients.set_enabled(south, False, by="alice")
    assert sorted(open_round.seats.values_list("status", flat=True)) == ["dropped", "dropped", "invited"]


def test_steering_is_refused_where_the_state_does_not_allow_it(open_round, session, alice):
    with pytest.raises(Conflict, match="2 more updates are needed"):
        rounds.finish(session, by="alice", now=NOW)
    rounds.extend(session, seconds=60, by="alice")
    assert Round.objects.get().deadline == later(660)
    sessions.cancel(session, by=alice, now=NOW)
    for act in (sessions.pause, sessions.add_rounds):
        with pytest.raises(Conflict):
            act(session, by=alice) if act is sessions.pause else act(session, 5, by=alice)
    with pytest.raises(Conflict):
        rounds.extend(session, seconds=60, by="alice")


def test_events_are_numbered_without_gap(open_round, session):
    session.refresh_from_db()
    seqs = list(session.events.values_list("seq", flat=True))
    assert seqs == list(range(1, session.last_seq + 1))
