"""Seats whose clients are at work stay open when their round closes, where their late updates count."""

import pytest

from federation import reasons, storage
from federation.errors import Conflict
from federation.lifecycle import SeatStatus, SessionStatus
from federation.models import Client, Event, GlobalModel, Participation, Phase, TrainingSession
from federation.services import clients, retention, rounds, seats, sessions, waiting
from federation.services.seats import progress, updates
from tests.federation.cast import kinds, last_payload, send, settle, update

pytestmark = pytest.mark.django_db


@pytest.fixture
def session(open_round, now):
    """Ben works for round 1, which closed with anna's update; round 2 is open for anna."""
    session = open_round("anna", "ben", quorum=1, rounds=5, late_policy="next_round").session
    assert seats.offer(client("ben"), now=now)
    send("anna", now=now)
    rounds.finish(session, by="alice", now=now)
    return settle(session, now=now)


def client(name):
    return Client.objects.get(name=name)


def seat(name, number=1):
    return Participation.objects.select_related("client", "round").get(client__name=name, round__number=number)


def arrives(seat, now, value=0.25):
    """The update of a seat arrives, whatever seats its client got since."""
    with storage.scratch() as file:
        file.write_bytes(update(seat, value))
        return updates.receive(seats.of(seat.client, seat.pk), file, now=now)


def test_it_is_told_to_continue_and_offered_the_same_work(session, now):
    ben = seat("ben")
    assert ben.status == SeatStatus.TRAINING
    assert progress.report(seats.of(ben.client, ben.pk), phase=Phase.TRAINING, fraction=0.5, points=(), now=now)
    offered = seats.offer(client("ben"), now=now)
    assert offered.pk == ben.pk
    assert offered.round.base.version == 0


def test_its_client_gets_no_second_seat(session, now):
    assert [one.client.name for one in session.active_round().seats.all()] == ["anna"]
    with pytest.raises(Participation.DoesNotExist):
        seat("ben", 2)


def test_its_update_is_accepted_late_and_counts_in_the_round_that_collects(session, now):
    assert arrives(seat("ben"), now)
    ben = seat("ben")
    assert (ben.status, ben.reason, ben.counted_in.number, ben.staleness) == (SeatStatus.LATE, "", 2, 1)
    payload = last_payload(session, Event.Kind.UPDATE_LATE)
    assert (payload["counts"], payload["counted_in"]) == (True, 2)
    send("anna", now=now)
    settle(session, now=now)
    assert seat("ben").norm
    assert [one.client.name for one in session.active_round().seats.order_by("seat")] == ["anna", "ben"]


def test_the_same_bytes_again_are_accepted_again_and_others_are_not(session, now):
    assert arrives(seat("ben"), now)
    assert not arrives(seat("ben"), now)
    with pytest.raises(Conflict, match="has reported for round 1 already"):
        arrives(seat("ben"), now, value=9.0)
    assert kinds(session).count("update.late") == 1


def test_where_no_round_collects_it_counts_in_the_next_that_opens(session, now):
    send("anna", now=now)
    rounds.finish(session, by="alice", now=now)  # round 2 is to be aggregated
    assert arrives(seat("ben"), now)
    assert seat("ben").counted_in is None
    settle(session, now=now)
    assert seat("ben").counted_in == session.round_set.get(number=3)
    assert seat("ben").staleness == 2


def test_a_seat_that_nobody_has_taken_is_dropped(open_round, now):
    session = open_round("anna", "ben", quorum=1, late_policy="next_round").session
    send("anna", now=now)
    rounds.finish(session, by="alice", now=now)
    assert seat("ben").status == SeatStatus.DROPPED


def test_after_the_last_round_nobody_goes_on(open_round, now):
    session = open_round("anna", "ben", quorum=1, rounds=1, late_policy="next_round").session
    seats.offer(client("ben"), now=now)
    send("anna", now=now)
    rounds.finish(session, by="alice", now=now)
    assert seat("ben").status == SeatStatus.DROPPED


def test_the_last_round_ends_the_seats_of_earlier_ones_too(session, now):
    TrainingSession.objects.update(rounds=2)
    session.refresh_from_db()
    send("anna", now=now)
    settle(session, now=now)
    assert (session.status, seat("ben").status) == (SessionStatus.COMPLETED, SeatStatus.DROPPED)


@pytest.mark.parametrize("how", ["cancelled", "failed"])
def test_every_end_of_the_session_drops_its_open_seats(session, now, how):
    if how == "cancelled":
        sessions.cancel(session, by=None, now=now)
    else:
        rounds.give_up(session, reason=reasons.model_lost("v1", "It is lost."), now=now)
    assert seat("ben").status == SeatStatus.DROPPED
    assert not Participation.objects.filter(status__in=("invited", "training")).exists()


def test_a_client_that_is_disabled_loses_it(session, now):
    clients.set_enabled(client("ben"), False, by="alice")
    assert seat("ben").status == SeatStatus.DROPPED


def test_the_session_names_who_works_for_an_earlier_round(session, now):
    detail = " ".join(one["detail"] for one in waiting.reasons(session, now=now))
    assert "Still at work for an earlier round: ben (round 1)." in detail


def test_its_base_is_kept(session, now, settings):
    settings.FL_KEEP_UPDATES, settings.FL_KEEP_MODELS = 0, "every_100"
    for _ in range(2):
        send("anna", now=now)
        settle(session, now=now)
    GlobalModel.objects.update(evaluated_at=now)
    retention.expire(TrainingSession.objects.all())
    base = session.models.get(version=0)
    assert base.file_status == "stored"
    assert storage.exists(base.digest)
    assert session.models.get(version=1).file_status == "removed"
    assert arrives(seat("ben"), now)
