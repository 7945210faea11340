"""Work says which update of its client counted last, so that a client may keep something of its own between rounds."""

import pytest

from federation.api import work
from federation.models import Client
from federation.services import rounds, sessions
from tests.federation.services.test_late import close, in_round, late, send, session

pytestmark = pytest.mark.django_db
__all__ = ["session"]  # anna, ben and carl in a session that takes late updates in


def told(name):
    found = work.look(Client.objects.get(name=name))
    return found and found["last_update"]


def named(seat):
    return {"participation": str(seat.pk), "digest": seat.digest}


def test_it_is_the_last_one_that_went_into_a_model(session, now):
    assert told("anna") is None
    send(session, "anna", 1, 0.1, now)
    close(session, now)
    assert told("anna") == named(in_round(session, "anna", 1))
    assert told("carl") is None, "its work was dropped"


def test_a_late_one_counts_once_its_round_has_made_a_model(session, now):
    send(session, "anna", 1, 0.1, now)
    close(session, now)
    late(session, "ben", 1, 0.2, now)
    assert in_round(session, "ben", 2).last_update is None
    send(session, "anna", 2, 0.1, now)
    close(session, now)
    assert told("ben") == named(in_round(session, "ben", 1))


def test_work_that_was_offered_says_the_same_for_ever(session, now):
    send(session, "anna", 1, 0.1, now)
    close(session, now)
    before = work.look(Client.objects.get(name="anna"))
    assert work.look(Client.objects.get(name="anna")) == before


def test_another_session_s_updates_do_not_count(session, running, now, alice):
    send(session, "anna", 1, 0.1, now)
    close(session, now)
    sessions.cancel(session, by=alice, now=now)
    other = running(quorum=3)
    rounds.advance(other, now=now)
    assert told("anna") is None
