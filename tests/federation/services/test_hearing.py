"""What a web process heard of clients is written for all of them a few seconds later, and nothing else changes."""

from datetime import timedelta

import pytest
from django.db import OperationalError

from federation.models import Client
from federation.services import clients
from federation.services.clients import hearing, presence
from tests.federation.cast import server_kinds, token_of

LATER = timedelta(seconds=15)


@pytest.fixture
def on(monkeypatch):
    """The process keeps notes. Nobody writes them until the test does."""
    hearing_ = hearing.Hearing()
    hearing_.is_on = True
    monkeypatch.setattr(presence, "heard", hearing_)
    return hearing_


def last_seen(name):
    return Client.objects.get(name=name).last_seen


def test_a_call_writes_nothing_and_the_next_flush_writes_all(enrol, on, now, django_assert_num_queries):
    enrol("anna", "ben")
    with django_assert_num_queries(2):  # who they are
        for name in ("anna", "ben"):
            assert clients.authenticate(token_of(name), now=now + LATER).name == name
    assert (last_seen("anna"), last_seen("ben")) == (now, now)
    on.flush()
    assert (last_seen("anna"), last_seen("ben")) == (now + LATER, now + LATER)
    with django_assert_num_queries(0):
        on.flush()


def test_the_newest_time_is_written(enrol, on, now):
    enrol("anna")
    for times in (1, 2):
        clients.authenticate(token_of("anna"), now=now + times * LATER)
    on.flush()
    assert last_seen("anna") == now + 2 * LATER


def test_who_comes_back_is_told_at_once(enrol, on, now):
    enrol("anna")
    clients.announce_offline(now=now + timedelta(seconds=60))
    assert clients.authenticate(token_of("anna"), now=now + timedelta(seconds=61)).came_back
    assert server_kinds()[-2:] == ["client.offline", "client.online"]
    assert last_seen("anna") == now + timedelta(seconds=61)


def test_a_held_poll_of_a_client_that_went_offline_meanwhile_brings_it_back_with_its_next_sign(enrol, on, now):
    enrol("anna")
    held = clients.authenticate(token_of("anna"), now=now)
    clients.announce_offline(now=now + timedelta(seconds=60))
    clients.touch(held, now=now + timedelta(seconds=61))
    on.flush()
    assert server_kinds()[-1] == "client.offline"
    clients.touch(held, now=now + timedelta(seconds=76))
    assert server_kinds()[-1] == "client.online"
    assert last_seen("anna") == now + timedelta(seconds=76)


def test_who_left_stays_away_though_a_sign_of_life_is_still_to_be_written(enrol, on, now):
    (anna,) = enrol("anna")
    clients.authenticate(token_of("anna"), now=now + LATER)
    clients.leave(anna)
    on.flush()
    assert last_seen("anna") is None
    assert server_kinds()[-1] == "client.left"


def test_who_was_removed_is_not_heard_of_any_more(enrol, on, now):
    (anna,) = enrol("anna")
    for times in (1, 2):
        clients.touch(anna, now=now + times * LATER)
        clients.remove(Client.objects.get(pk=anna.pk), by="alice", now=now)
        on.flush()
    assert last_seen("anna") is None
    assert server_kinds()[-1] == "client.left"


def test_its_thread_writes_what_was_noted_and_outlives_an_absent_database(enrol, now, settings, monkeypatch):
    settings.FL_ONLINE = timedelta(seconds=0.06)
    (anna,) = enrol("anna")
    begun = hearing.Hearing()
    begun.is_on = True
    tried = []

    def flush():
        tried.append(dict(begun._noted))
        if len(tried) == 1:
            begun.note(anna.pk, now + LATER)
            raise OperationalError("away")
        raise SystemExit

    monkeypatch.setattr(begun, "flush", flush)
    monkeypatch.setattr(hearing.connection, "close", lambda: None)
    begun.note(anna.pk, now)
    with pytest.raises(SystemExit):
        begun._run()
    assert tried == [{anna.pk: now}, {anna.pk: now + LATER}]
