"""A client that is disabled or removed counts no longer, wherever no model was made of what it sent."""

from datetime import timedelta

import pytest

from federation import storage
from federation.errors import Forbidden, Unauthorized
from federation.lifecycle import RoundStatus, SeatStatus, SessionStatus
from federation.models import Client, Event, Round
from federation.services import clients, rounds, seats
from federation.services.clients import invitations
from federation.services.models import building
from federation.services.rounds import aggregating, publishing
from federation.services.seats import updates
from tests.federation.cast import at_once, last_payload, seat_of, send, settle, token_of, update
from tests.federation.services.revoking import either, grown, revoke, seat

pytestmark = pytest.mark.django_db

# ---- while the round collects


@either
def test_its_report_is_dropped_from_the_open_round(open_round, now, way):
    session = open_round("anna", "ben", "carl", quorum=1).session
    send("anna", now=now, value=9.0)
    revoke("anna", way, now=now)
    assert (seat(session, "anna").status, seat(session, "anna").withdrawn) == (SeatStatus.DROPPED, True)
    assert seat(session, "anna").reason == f"The client was {way}."
    payload = last_payload(session, Event.Kind.SEAT_DROPPED)
    assert (payload["client"]["name"], payload["reason"]) == ("anna", f"The client was {way}.")
    send("ben", now=now, value=0.25)
    send("carl", now=now, value=0.75)
    settle(session, now=now)
    assert grown(session, 1) == 0.5
    assert [one.client.name for one in building.counted(session.round_set.get(number=1))] == ["ben", "carl"]


@either
def test_its_open_seat_is_dropped(open_round, now, way):
    session = open_round("anna", "ben", quorum=1).session
    revoke("anna", way, now=now)
    assert (seat(session, "anna").status, seat(session, "anna").reason) == ("dropped", f"The client was {way}.")


def test_the_round_closes_when_the_last_open_seat_goes(open_round, now):
    session = open_round("anna", "ben", quorum=1).session
    send("ben", now=now, value=0.25)
    revoke("anna", now=now)
    settle(session, now=now)
    assert grown(session, 1) == 0.25


def test_the_round_fails_for_the_quorum_and_says_who_is_missing(open_round, now):
    session = open_round("anna", "ben", quorum=2).session
    send("anna", now=now)
    send("ben", now=now)
    revoke("anna", now=now)
    assert rounds.advance(session, now=now)
    failed = session.round_set.get(number=1, attempt=1)
    assert failed.status == RoundStatus.FAILED
    assert failed.reason == (
        "1 of 2 needed updates had arrived when no seat was open any more. "
        "Not counted, because disabled or removed: anna."
    )
    assert session.status == SessionStatus.RUNNING


def test_below_the_quorum_it_waits_for_those_who_are_still_at_work(open_round, now):
    session = open_round("anna", "ben", "carl", quorum=2).session
    send("anna", now=now)
    send("ben", now=now)
    revoke("anna", now=now)
    assert not rounds.advance(session, now=now)
    send("carl", now=now)
    assert settle(session, now=now).last_model().version == 1


def test_leaving_takes_nothing_back(open_round, now):
    session = open_round("anna", "ben").session
    send("anna", now=now)
    clients.leave(Client.objects.get(name="anna"))
    assert (seat(session, "anna").status, seat(session, "anna").withdrawn) == (SeatStatus.REPORTED, False)


# ---- while it is aggregated


@pytest.fixture
def claimed(open_round, now):
    """A worker has claimed a round of three, of whom it needs two."""
    session = open_round("anna", "ben", "carl", quorum=2, rounds=2).session
    for name, value in (("anna", 9.0), ("ben", 0.25), ("carl", 0.75)):
        send(name, now=now, value=value)
    assert rounds.close(session.active_round(), now=now)
    round_ = session.active_round()
    return round_, rounds.claim(round_, now=now)


@either
def test_the_claim_is_withdrawn(claimed, now, way, monkeypatch):
    round_, token = claimed
    lease = aggregating.Lease(round_, token)
    revoke("anna", way, now=now)
    monkeypatch.setattr(aggregating, "RENEW", timedelta(0))
    with pytest.raises(rounds.LeaseLost):
        lease.renew()


@either
def test_what_was_made_with_it_is_not_published(claimed, now, way, monkeypatch):
    round_, token = claimed
    make = building.make

    def revoked_meanwhile(*args):
        made = make(*args)
        revoke("anna", way, now=now)
        return made

    monkeypatch.setattr(building, "make", revoked_meanwhile)
    assert not rounds.aggregate(round_, token, now=now)
    monkeypatch.undo()
    session = round_.session
    assert session.models.count() == 1 and session.active_round().status == RoundStatus.AGGREGATING
    settle(session, now=now)
    assert grown(session, 1) == 0.5
    assert seat(session, "anna").status == SeatStatus.DROPPED and seat(session, "ben").status == SeatStatus.AGGREGATED


def test_below_the_quorum_the_round_fails_and_is_tried_again(claimed, now):
    round_, token = claimed
    revoke("anna", now=now)
    revoke("ben", now=now)
    assert not rounds.aggregate(round_, token, now=now)
    session = settle(round_.session, now=now)
    failed = session.round_set.get(number=1, attempt=1)
    assert (failed.status, failed.collected_at) == (RoundStatus.FAILED, None)
    assert failed.reason.startswith("1 of 2 needed updates") and failed.reason.endswith("anna, ben.")
    assert session.models.count() == 1 and session.status == SessionStatus.RUNNING
    clients.set_enabled(Client.objects.get(name="ben"), True, by="alice")
    settle(session, now=now)
    assert session.active_round().attempt == 2


def test_one_that_was_disabled_before_this_release_is_found_by_the_worker(claimed, now):
    round_, _ = claimed
    Client.objects.filter(name="anna").update(enabled=False)
    rounds.free_leases()
    session = settle(round_.session, now=now)
    assert grown(session, 1) == 0.5
    assert seat(session, "anna").reason == "The client was disabled."


def run(draw, now, *, then):
    """A session of one round; `then` is done to anna. Returns the digests of its models."""
    session = draw(quorum=2, rounds=1, seed=5)
    settle(session, now=now)
    for name, value in (("ben", 0.1), ("carl", 0.7)):
        send(name, now=now, value=value)
    then(session)
    settle(session, now=now)
    assert session.status == SessionStatus.COMPLETED
    return [model.digest for model in session.models.order_by("version")]


def test_the_model_has_the_bytes_that_it_has_where_the_client_never_reported(enrol, running, now):
    enrol("anna", "ben", "carl")

    def killed_and_disabled(session):
        """The worker is gone in the middle of its work, once before and once after."""
        send("anna", now=now, value=9.0)
        assert rounds.close(session.active_round(), now=now)
        assert rounds.claim(session.active_round(), now=now)
        revoke("anna", now=now)
        assert rounds.claim(session.active_round(), now=now)
        rounds.free_leases()

    without = run(running, now, then=lambda session: seats.fail(seat_of("anna"), reason="not now"))
    assert run(running, now, then=killed_and_disabled) == without


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", range(3))
def test_while_a_worker_aggregates_one_order_or_the_other_comes_out(claimed, now, attempt):
    round_, token = claimed
    _, gone = at_once(lambda: rounds.aggregate(round_, token, now=now), lambda: revoke("anna", now=now))
    assert gone is None
    settle(round_.session, now=now)
    counted = seat(round_.session, "anna").status == SeatStatus.AGGREGATED
    assert grown(round_.session, 1) == (round(10 / 3, 6) if counted else 0.5)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", range(3))
def test_as_it_closes_nothing_of_it_is_left_in_the_round(open_round, now, attempt):
    session = open_round("anna", "ben", "carl", quorum=1).session
    for name, value in (("anna", 9.0), ("ben", 0.25), ("carl", 0.75)):
        send(name, now=now, value=value)
    _, gone = at_once(lambda: rounds.close(session.active_round(), now=now), lambda: revoke("anna", now=now))
    assert gone is None
    settle(session, now=now)
    assert grown(session, 1) == 0.5


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", range(3))
def test_an_update_that_comes_at_that_moment_does_not_count(open_round, now, attempt):
    session = open_round("anna", "ben", quorum=1).session
    send("ben", now=now, value=0.25)
    sent, gone = at_once(lambda: send("anna", now=now, value=9.0), lambda: revoke("anna", now=now))
    assert gone is None and (sent is True or isinstance(sent, Forbidden))
    settle(session, now=now)
    assert grown(session, 1) == 0.25


# ---- a call that was let in before


def test_an_update_let_in_before_its_client_was_disabled_is_refused(open_round, now):
    session = open_round("anna", "ben", quorum=1).session
    mine = seats.of(clients.authenticate(token_of("anna"), now=now), seat_of("anna").pk)
    revoke("anna", now=now)
    with pytest.raises(Forbidden, match="anna is disabled"):
        _receive(mine, now)
    assert seat(session, "anna").status == SeatStatus.DROPPED and not seat(session, "anna").digest


@pytest.mark.parametrize("moment", ["before it is stored", "as it is settled"])
def test_so_is_one_whose_client_was_removed(open_round, now, monkeypatch, moment):
    open_round("anna", "ben", quorum=1)
    mine = seats.of(clients.authenticate(token_of("anna"), now=now), seat_of("anna").pk)
    if moment == "as it is settled":
        put = storage.put
        monkeypatch.setattr(
            storage, "put", lambda *args, **more: (put(*args, **more), revoke("anna", "removed", now=now))
        )
    else:
        revoke("anna", "removed", now=now)
    with pytest.raises(Unauthorized, match="revoked"):
        _receive(mine, now)


def test_so_is_one_that_came_by_a_token_that_was_replaced_meanwhile(open_round, alice, now):
    open_round("anna", "ben", quorum=1)
    mine = seats.of(clients.authenticate(token_of("anna"), now=now), seat_of("anna").pk)
    _, code = invitations.reissue(Client.objects.get(name="anna"), by=alice, now=now)
    clients.enroll(join_code=code, name="anna", info={}, token="ab" * 32, now=now)
    with pytest.raises(Unauthorized, match="revoked"):
        _receive(mine, now)
    fresh = seats.of(clients.authenticate("ab" * 32, now=now), mine.pk)
    assert _receive(fresh, now), "whoever joined anew goes on with the same work"


def _receive(mine, now):
    with storage.scratch() as file:
        file.write_bytes(update(mine, 9.0))
        return updates.receive(mine, file, now=now)


# ---- costs


def test_a_round_without_late_updates_is_published_without_a_further_look(claimed, monkeypatch, now):
    round_, token = claimed
    monkeypatch.setattr(publishing, "Client", None)
    assert rounds.aggregate(round_, token, now=now)
    assert Round.objects.get(pk=round_.pk).status == RoundStatus.COMPLETED
