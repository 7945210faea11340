"""Which models a client is in: by its own rounds, by late updates, and through sessions started from such models."""

import pytest

from federation.errors import RoundClosed
from federation.lifecycle import FileStatus, Outcome
from federation.models import Client, GlobalModel, Participation, Round
from federation.services import clients, rounds, seats, sessions
from federation.services.clients import influence
from tests.federation.cast import seat_of, send, settle

pytestmark = pytest.mark.django_db


def told(name, most=10):
    """(session, first, last, through, without) of each."""
    found = influence.of(Client.objects.get(name=name), most=most)
    return [
        (one.session.name, one.first, one.last, one.through and str(one.through), one.without and str(one.without))
        for one in found.shown
    ]


def play(session, now, *by_round):
    """One round after the other: who reports in it. The others give their seats up."""
    for reporting in by_round:
        settle(session, now=now)
        for seat in session.active_round().seats.select_related("client"):
            if seat.client.name in reporting:
                send(seat.client.name, now=now)
            else:
                seats.fail(seat_of(seat.client.name), reason="not now")
        settle(session, now=now)


@pytest.fixture
def session(enrol, running, now):
    """Ben reported in rounds 3 and 5 of five."""
    enrol("anna", "ben")
    session = running(rounds=5)
    play(session, now, ["anna"], ["anna"], ["anna", "ben"], ["anna"], ["ben"])
    return session


def test_from_the_first_round_that_counted_it_every_model_has_it(session):
    assert told("ben") == [("first", 3, 5, None, "v2")]
    assert told("anna") == [("first", 1, 5, None, "v0")]


def test_who_counted_nowhere_is_in_nothing(enrol, session):
    enrol("carl")
    assert told("carl") == []
    assert not influence.of(Client.objects.get(name="carl"), most=10)


def test_a_removed_clients_are_told_too(session, now):
    clients.remove(Client.objects.get(name="ben"), by="alice", now=now)
    assert told("ben") == [("first", 3, 5, None, "v2")]


def test_a_skipped_round_is_no_model(enrol, running, now):
    enrol("anna", "ben")
    session = running(rounds=3, max_retries=0, on_round_failure="skip")
    play(session, now, ["anna"], [], ["anna", "ben"])
    assert [model.version for model in session.models.order_by("version")] == [0, 1, 3]
    assert told("ben") == [("first", 3, 3, None, "v1")]


def test_only_what_a_round_says_that_it_made_is_a_model(session):
    session.round_set.filter(number=3).update(outcome=Outcome.NOTHING)
    assert told("ben") == [("first", 5, 5, None, "v4")]


def test_who_sent_the_first_weights_is_in_every_model(session, enrol, now):
    (carl,) = enrol("carl")
    times = {"opened_at": now, "deadline": now, "closed_at": now}
    sent = {"kind": "initialise", "number": 0, "status": "completed", "outcome": Outcome.MODEL}
    round_ = Round.objects.create(session=session, **sent, **times)
    Participation.objects.create(round=round_, client=carl, seat=1, status="aggregated", base_version=0)
    assert told("carl") == [("first", 0, 5, None, None)]


def test_a_late_update_counts_from_the_model_that_it_is_in(open_round, now):
    session = open_round("anna", "ben", quorum=1, rounds=3, late_policy="next_round").session
    send("anna", now=now)
    rounds.skip(session, seat_of("ben").pk, by="alice")
    with pytest.raises(RoundClosed):
        send("ben", now=now)
    settle(session, now=now)
    assert told("ben") == []
    play(session, now, ["anna"])
    assert told("ben") == [("first", 2, 2, None, "v1")]


def test_a_withdrawn_update_is_in_nothing(open_round, now):
    session = open_round("anna", "ben", quorum=1).session
    for name in ("anna", "ben"):
        send(name, now=now)
    clients.set_enabled(Client.objects.get(name="ben"), False, by="alice")
    settle(session, now=now)
    assert told("ben") == [] and told("anna") == [("first", 1, 1, None, "v0")]


def test_a_session_that_began_from_such_a_model_has_it_from_its_start_and_hands_it_on(session, running, now):
    second = running(name="second", start_from=(session.pk, 4), rounds=1)
    play(second, now, ["anna"])
    running(name="third", start_from=(second.pk, 1), rounds=1)
    running(name="clean", start_from=(session.pk, 2), rounds=1)
    assert told("ben") == [
        ("third", 0, 0, "v1", None),
        ("second", 0, 1, "v4", None),
        ("first", 3, 5, None, "v2"),
    ]


def test_it_may_be_in_one_by_itself_that_began_without_it(session, running, now):
    second = running(name="second", start_from=(session.pk, 2), rounds=2)
    play(second, now, ["anna"], ["ben"])
    assert told("ben")[0] == ("second", 2, 2, None, "v1")


def test_only_a_stored_model_can_be_started_from(session):
    (found,) = influence.of(Client.objects.get(name="ben"), most=10).shown
    assert found.can_start
    GlobalModel.objects.filter(session=session, version=2).update(file_status=FileStatus.REMOVED)
    (found,) = influence.of(Client.objects.get(name="ben"), most=10).shown
    assert (str(found.without), found.can_start) == ("v2", False)


def test_the_newest_are_told_and_the_others_counted(session, running):
    for number in range(4):
        running(name=f"more {number}", start_from=(session.pk, 5), rounds=1)
    found = influence.of(Client.objects.get(name="ben"), most=2)
    assert [one.session.name for one in found.shown] == ["more 3", "more 2"]
    assert found.more == 3


def test_a_deleted_session_hands_nothing_on(session, running, now):
    running(name="second", start_from=(session.pk, 4), rounds=1)
    sessions.delete(session)
    assert told("ben") == []


def test_it_takes_six_queries_whatever_there_is(session, running, now, django_assert_num_queries):
    ben = Client.objects.get(name="ben")
    for number in range(6):
        running(name=f"more {number}", start_from=(session.pk, 3 + number % 3), rounds=1)
    with django_assert_num_queries(6):
        found = influence.of(ben, most=10)
        assert [(str(one.through), one.through.session.name) for one in found.shown if one.through]
        assert [one.session.name for one in found.shown]
