"""Whoever was let in is looked at again: each way to take a right back is found, and nobody else suffers."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.test import Client as Visitor

from federation import tokens
from federation.errors import Forbidden, Unauthorized
from federation.models import ApiKey, Client
from federation.services import apikeys, clients, standing
from federation.services.clients import invitations
from federation.services.standing import Agent, Browser, Script
from tests.federation.cast import token_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def agents(enrol):
    return {client.name: Agent(client.pk, tokens.digest(token_of(client.name))) for client in enrol("anna", "ben")}


@pytest.fixture
def signed_in(alice):
    """Alice's browser and Bob's, who are signed in."""

    def sign_in(user: User) -> Browser:
        visitor = Visitor()
        visitor.force_login(user)
        return Browser(visitor.session.session_key)

    return {"alice": sign_in(alice), "bob": sign_in(User.objects.create_user("bob", password="correct-horse"))}


@pytest.fixture
def scripts(alice):
    bob = User.objects.create_user("carol")
    return {user.username: Script(tokens.digest(apikeys.create(user)[1])) for user in (alice, bob)}


def disable(alice, now):
    clients.set_enabled(Client.objects.get(name="anna"), False, by="alice")


def disable_by_hand(alice, now):
    Client.objects.filter(name="anna").update(enabled=False)


def remove(alice, now):
    clients.remove(Client.objects.get(name="anna"), by="alice", now=now)


def reissue(alice, now):
    _, code = invitations.reissue(Client.objects.get(name="anna"), by=alice, now=now)
    clients.enroll(join_code=code, name="anna", info={}, token=token_of("anna's new disk"), now=now)


@pytest.mark.parametrize(
    "act, kind", [(disable, Forbidden), (disable_by_hand, Forbidden), (remove, Unauthorized), (reissue, Unauthorized)]
)
def test_a_client_may_not_go_on_and_the_others_may(agents, alice, now, act, kind):
    assert standing.withdrawn(agents.values(), now=now) == {}
    act(alice, now)
    withdrawn = standing.withdrawn(agents.values(), now=now)
    assert withdrawn.keys() == {agents["anna"]} and isinstance(withdrawn[agents["anna"]], kind)


def test_the_new_token_of_a_client_is_good(agents, alice, now):
    reissue(alice, now)
    new = Agent(agents["anna"].client_id, tokens.digest(token_of("anna's new disk")))
    assert standing.withdrawn([new], now=now) == {}


def sign_out(bob, key):
    SessionStore(key).flush()


def deactivate(bob, key):
    User.objects.filter(pk=bob.pk).update(is_active=False)


def change_password(bob, key):
    bob.set_password("another-horse")
    bob.save()


def delete_user(bob, key):
    bob.delete()


def let_expire(bob, key):
    Session.objects.filter(session_key=key).update(expire_date="2020-01-01T00:00:00Z")


def spoil(bob, key):
    Session.objects.filter(session_key=key).update(session_data="nonsense")


@pytest.mark.parametrize("act", [sign_out, deactivate, change_password, delete_user, let_expire, spoil])
def test_a_browser_may_not_go_on_and_the_others_may(signed_in, now, act):
    assert standing.withdrawn(signed_in.values(), now=now) == {}
    act(User.objects.get(username="bob"), signed_in["bob"].session_key)
    withdrawn = standing.withdrawn(signed_in.values(), now=now)
    assert withdrawn.keys() == {signed_in["bob"]} and isinstance(withdrawn[signed_in["bob"]], Unauthorized)


@pytest.mark.parametrize("change", ["revoked", "inactive", "deleted"])
def test_a_script_may_not_go_on_and_the_others_may(scripts, alice, now, change):
    assert standing.withdrawn(scripts.values(), now=now) == {}
    key = ApiKey.objects.get(user__username="carol")
    if change == "revoked":
        apikeys.revoke(key, now=now)
    elif change == "inactive":
        User.objects.filter(username="carol").update(is_active=False)
    else:
        key.user.delete()
    assert standing.withdrawn(scripts.values(), now=now).keys() == {scripts["carol"]}


def test_a_session_that_nobody_signed_in_to_opens_nothing(db, now):
    store = SessionStore()
    store.create()
    for key in (store.session_key, "", "guessed"):
        assert standing.withdrawn([Browser(key)], now=now)
    assert standing.withdrawn([Browser(store.session_key)], now=now + timedelta(days=400))


def test_it_costs_four_queries_however_many_are_open(agents, signed_in, scripts, now, django_assert_num_queries):
    with django_assert_num_queries(4):
        standing.withdrawn([*agents.values(), *signed_in.values(), *scripts.values()], now=now)
    with django_assert_num_queries(1):
        standing.withdrawn(agents.values(), now=now)
    with django_assert_num_queries(0):
        standing.withdrawn([], now=now)


def test_more_are_asked_about_in_parts(agents, now, monkeypatch):
    monkeypatch.setattr(standing, "AT_ONCE", 2)
    strangers = [Agent(number, "0" * 64) for number in range(1000, 1005)]
    assert standing.withdrawn([*agents.values(), *strangers], now=now).keys() == set(strangers)
