import pytest

from federation.errors import Conflict, NotFound
from federation.lifecycle import SeatStatus
from federation.models import Client, Event
from federation.services import seats, sessions
from tests.federation.cast import kinds, last_payload, seat_of, send, settle


def offer(name, now):
    return seats.offer(Client.objects.get(name=name), now=now)


def test_a_seat_is_taken_when_its_work_is_first_handed_out(open_round, now):
    session = open_round("anna").session
    assert seat_of("anna").status == SeatStatus.INVITED
    assert offer("anna", now).status == SeatStatus.TRAINING
    assert (seat_of("anna").status, seat_of("anna").taken_at) == (SeatStatus.TRAINING, now)
    assert kinds(session)[-1] == "seat.training"


def test_the_same_work_is_offered_until_it_has_been_done(open_round, now):
    session = open_round("anna", "ben").session
    assert offer("anna", now) == offer("anna", now)
    assert kinds(session).count("seat.training") == 1
    send("anna", now=now)
    assert offer("anna", now) is None


def test_there_is_no_work_without_a_seat(open_round, enrol, now):
    open_round("anna")
    enrol("ben")
    assert offer("ben", now) is None


def test_there_is_no_work_in_a_round_that_is_closed(open_round, now):
    round_ = open_round("anna", "ben", quorum=1)
    send("anna", now=now)
    settle(round_.session, now=round_.deadline)
    assert offer("ben", now) is None


def test_the_open_round_of_a_paused_session_goes_on(open_round, alice, now):
    session = open_round("anna").session
    sessions.pause(session, by=alice)
    assert offer("anna", now) == seat_of("anna")


def test_a_client_finds_its_own_seats_only(open_round):
    open_round("anna", "ben")
    anna = Client.objects.get(name="anna")
    assert seats.of(anna, seat_of("anna").pk) == seat_of("anna")
    with pytest.raises(NotFound):
        seats.of(anna, seat_of("ben").pk)
    with pytest.raises(NotFound):
        seats.of(anna, 10**17)


def test_a_client_gives_up_once_with_a_reason(open_round):
    session = open_round("anna", "ben").session
    seats.fail(seat_of("anna"), reason="  out of memory ")
    seats.fail(seat_of("anna"), reason="again")
    assert (seat_of("anna").status, seat_of("anna").reason) == (SeatStatus.FAILED, "out of memory")
    assert last_payload(session, Event.Kind.SEAT_FAILED)["reason"] == "out of memory"
    assert kinds(session).count("seat.failed") == 1


def test_a_seat_that_has_reported_cannot_be_given_up(open_round, now):
    open_round("anna", "ben")
    send("anna", now=now)
    with pytest.raises(Conflict, match="reported"):
        seats.fail(seat_of("anna"), reason="too late")


def test_only_an_open_seat_can_be_skipped(open_round, now):
    session = open_round("anna", "ben").session
    seats.skip(seat_of("anna"), by="alice")
    assert (seat_of("anna").status, seat_of("anna").reason) == (SeatStatus.DROPPED, "Skipped by alice.")
    assert last_payload(session, Event.Kind.SEAT_SKIPPED)["by"] == "alice"
    with pytest.raises(Conflict, match="anna is dropped"):
        seats.skip(seat_of("anna"), by="alice")
    send("ben", now=now)
    with pytest.raises(Conflict, match="ben is reported"):
        seats.skip(seat_of("ben"), by="alice")
