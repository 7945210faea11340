"""A client whose token was lost is let in again by a code of its own, and keeps its history."""

from datetime import timedelta

import pytest

from federation.errors import Conflict, Forbidden, Unauthorized
from federation.models import Client, Invitation, ServerEvent
from federation.services import clients, seats
from federation.services.clients import invitations
from federation.services.clients.one_agent import Instance
from tests.federation.cast import at_once, send, server_kinds, settle, token_of

pytestmark = pytest.mark.django_db
NEW = token_of("anna's new disk")


@pytest.fixture
def anna(enrol):
    return enrol("anna", num_examples=100)[0]


@pytest.fixture
def code(anna, alice, now):
    return invitations.reissue(anna, by=alice, now=now)[1]


@pytest.fixture
def join(now):
    def join(code, name="anna", token=NEW, at=now, **info):
        return clients.enroll(join_code=code, name=name, info=info, token=token, now=at)[0]

    return join


def test_the_same_client_has_a_new_token_and_all_of_its_history(open_round, alice, join, now):
    session = open_round("anna").session
    send("anna", now=now)
    settle(session, now=now)
    anna = Client.objects.get()
    back = join(invitations.reissue(anna, by=alice, now=now)[1], num_examples=100)
    assert (back.pk, back.ordinal, back.seats.count()) == (anna.pk, anna.ordinal, 2)
    assert clients.authenticate(NEW, now=now) == anna
    assert server_kinds() == ["client.enrolled", "session.started", "client.reissued", "client.enrolled"]
    made, joined = ServerEvent.objects.order_by("seq").filter(kind__startswith="client.")[1:]
    assert (made.payload["by"], made.payload["client"]["name"], joined.payload["again"]) == ("alice", "anna", True)


def test_the_old_token_is_good_until_the_code_is_used(code, join, now):
    assert clients.authenticate(token_of("anna"), now=now).name == "anna"
    join(code)
    with pytest.raises(Unauthorized, match="This token of anna was replaced: an agent joined by a code"):
        clients.authenticate(token_of("anna"), now=now)


def test_an_open_seat_goes_over_to_the_new_agent(open_round, alice, join, now):
    seat = open_round("anna").seats.get()
    assert seats.offer(seat.client, now=now) == seat
    back = join(invitations.reissue(seat.client, by=alice, now=now)[1])
    assert seats.offer(back, now=now) == seat


def test_whoever_acted_for_it_does_not_keep_the_new_agent_out(anna, code, join, now):
    old = Instance("old", "lost.example", 7, now)
    clients.authenticate(token_of("anna"), now=now, instance=old)
    join(code)
    new = Instance("new", "found.example", 8, now)
    assert clients.authenticate(NEW, now=now, instance=new).instance == "new"


def test_a_lost_answer_loses_nothing(code, join):
    assert join(code) == join(code)
    assert Invitation.objects.get(client__name="anna").used == 1


def test_the_code_is_good_once(code, join):
    join(code)
    with pytest.raises(Forbidden, match="used up"):
        join(code, token=token_of("another disk"))


def test_of_two_agents_at_once_one_gets_in(transactional_db, anna, code, join):
    tokens = [token_of("first"), token_of("second")]
    results = at_once(*(lambda token=token: join(code, token=token) for token in tokens))
    assert sorted(type(result) for result in results if isinstance(result, Exception)) == [Forbidden]
    assert anna in results


@pytest.mark.parametrize("name", ["ben", "anna 2"])
def test_it_lets_in_nobody_else(code, join, name):
    with pytest.raises(Conflict, match="lets in anna alone: start the agent with --name 'anna'"):
        join(code, name=name)
    assert Invitation.objects.get(client__name="anna").used == 0


def test_the_old_token_cannot_be_the_new_one(code, join):
    with pytest.raises(Conflict, match="an agent needs one of its own"):
        join(code, token=token_of("anna"))


def test_a_second_code_revokes_the_first(anna, code, alice, join, now):
    second = invitations.reissue(anna, by=alice, now=now)[1]
    with pytest.raises(Forbidden, match="revoked"):
        join(code)
    assert join(second) == anna


def test_it_expires_after_a_day(code, join, now):
    with pytest.raises(Forbidden, match="expired"):
        join(code, at=now + timedelta(days=1))


def test_a_removed_client_neither_gets_a_code_nor_uses_one(anna, code, alice, join, now):
    clients.remove(anna, by="alice", now=now)
    anna.refresh_from_db()
    with pytest.raises(Conflict, match="anna was removed. Invite it as a new client."):
        invitations.reissue(anna, by=alice, now=now)
    with pytest.raises(Forbidden, match="anna was removed"):
        join(code)


def test_a_disabled_client_stays_disabled(anna, code, join, now):
    clients.set_enabled(anna, False, by="alice")
    join(code)
    with pytest.raises(Forbidden, match="anna is disabled"):
        clients.authenticate(NEW, now=now)


def test_other_data_on_the_new_disk_are_noticed(code, join):
    join(code, num_examples=80)
    assert ServerEvent.objects.latest("seq").payload["changes"] == [
        {"what": "num_examples", "before": 100, "after": 80}
    ]
