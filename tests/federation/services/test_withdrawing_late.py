"""Late updates of a client that is disabled or removed count in no model."""

import pytest

from federation import storage
from federation.errors import RoundClosed
from federation.lifecycle import SeatStatus
from federation.models import Client, Participation, TrainingSession
from federation.services import clients, retention, rounds, seats, sessions
from federation.services.models import building
from federation.services.seats import updates
from tests.federation.cast import at_once, kinds, settle, update
from tests.federation.services.revoking import either, grown, revoke, seat

pytestmark = pytest.mark.django_db


def in_round(session, name, number, value, now):
    with storage.scratch() as file:
        mine = seats.of(Client.objects.get(name=name), seat(session, name, number).pk)
        file.write_bytes(update(mine, value))
        return updates.receive(mine, file, now=now)


@pytest.fixture
def with_late(open_round, now):
    """Round 1 has its model, round 2 is open, and ben's update of round 1 waits for it."""
    session = open_round("anna", "ben", "carl", quorum=1, rounds=5, late_policy="next_round").session
    in_round(session, "anna", 1, 0.5, now)
    rounds.finish(session, by="alice", now=now)
    settle(session, now=now)
    with pytest.raises(RoundClosed, match="It counts in the next round"):
        in_round(session, "ben", 1, 9.0, now)
    return session


def finish(session, number, now):
    """Anna alone reports in a round, and it becomes a model."""
    in_round(session, "anna", number, 0.125, now)
    rounds.finish(session, by="alice", now=now)
    settle(session, now=now)


@either
def test_a_late_update_that_waits_is_released_for_good(with_late, now, way):
    revoke("ben", way, now=now)
    finish(with_late, 2, now)
    assert grown(with_late, 2) == 0.125
    late = seat(with_late, "ben")
    assert (late.status, late.counted_in, late.withdrawn) == (SeatStatus.LATE, None, True)
    assert late.reason == f"The client was {way}."


@either
def test_one_that_was_taken_in_is_taken_out(with_late, now, way):
    in_round(with_late, "anna", 2, 0.125, now)
    rounds.finish(with_late, by="alice", now=now)
    round_ = with_late.active_round()
    token = rounds.claim(round_, now=now)
    assert seat(with_late, "ben").counted_in == round_
    revoke("ben", way, now=now)
    assert not rounds.aggregate(round_, token, now=now)
    settle(with_late, now=now)
    assert grown(with_late, 2) == 0.125
    assert (seat(with_late, "ben").counted_in, seat(with_late, "ben").staleness) == (None, 0)


def test_enabled_again_it_begins_anew(with_late, now):
    """Neither what it sent before nor what it sends for a seat that it had before counts."""
    ben = Client.objects.get(name="ben")
    clients.set_enabled(ben, False, by="alice")
    clients.set_enabled(ben, True, by="alice")
    for number, sent in ((1, 9.0), (2, 7.0)):
        with pytest.raises(RoundClosed, match="labelled late.$"):
            in_round(with_late, "ben", number, sent, now)
    for number in (2, 3):
        finish(with_late, number, now)
        assert grown(with_late, number) == 0.125
    in_round(with_late, "anna", 4, 0.25, now)
    in_round(with_late, "ben", 4, 0.75, now)
    rounds.finish(with_late, by="alice", now=now)
    settle(with_late, now=now)
    assert grown(with_late, 4) == 0.5


def test_what_comes_late_after_all_does_not_count(with_late, now):
    """Carl was dropped from round 1 and still trains as he is disabled and enabled."""
    carl = Client.objects.get(name="carl")
    for enabled in (False, True):
        clients.set_enabled(carl, enabled, by="alice")
    with pytest.raises(RoundClosed, match="labelled late.$"):
        in_round(with_late, "carl", 1, 9.0, now)
    revoke("ben", now=now)
    finish(with_late, 2, now)
    assert grown(with_late, 2) == 0.125


def test_what_is_in_a_model_stays(with_late, now):
    finish(with_late, 2, now)
    revoke("ben", now=now)
    late = seat(with_late, "ben")
    assert (late.counted_in.number, late.withdrawn, late.staleness) == (2, False, 1)
    assert [one.client.name for one in building.counted(with_late.round_set.get(number=2))] == ["anna", "ben"]


def test_the_file_of_one_that_was_released_is_given_up_in_time(with_late, now, settings):
    settings.FL_KEEP_UPDATES = 1
    revoke("ben", now=now)
    digest = seat(with_late, "ben").digest
    for number in (2, 3):
        finish(with_late, number, now)
    retention.expire(TrainingSession.objects.all())
    assert not storage.exists(digest)


def test_one_taken_in_at_the_same_moment_is_not_published(with_late, now, monkeypatch):
    """The round was closed and claimed before the change to the client could see that it took the update in."""
    in_round(with_late, "anna", 2, 0.125, now)
    rounds.finish(with_late, by="alice", now=now)
    make = building.make

    def unseen(*args):
        Client.objects.filter(name="ben").update(enabled=False)
        return make(*args)

    monkeypatch.setattr(building, "make", unseen)
    assert not rounds.advance(with_late, now=now)
    monkeypatch.undo()
    rounds.free_leases()
    settle(with_late, now=now)
    assert grown(with_late, 2) == 0.125 and seat(with_late, "ben").withdrawn


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", range(3))
def test_as_a_round_takes_it_in_it_counts_nowhere(with_late, now, attempt):
    in_round(with_late, "anna", 2, 0.125, now)
    _, gone = at_once(lambda: rounds.finish(with_late, by="alice", now=now), lambda: revoke("ben", now=now))
    assert gone is None
    settle(with_late, now=now)
    assert grown(with_late, 2) == 0.125
    assert seat(with_late, "ben").counted_in is None


def test_it_takes_as_many_queries_whatever_the_client_did(with_late, now, django_assert_max_num_queries):
    for number in (2, 3):
        finish(with_late, number, now)
    assert Participation.objects.filter(client__name="ben").count() == 4
    with django_assert_max_num_queries(24):
        revoke("ben", now=now)


def test_a_cancelled_sessions_late_updates_are_left_as_they_are(with_late, now):
    sessions.cancel(with_late, by=None, now=now)
    revoke("ben", now=now)
    assert not seat(with_late, "ben").withdrawn
    assert kinds(with_late)[-1] == "session.cancelled"
