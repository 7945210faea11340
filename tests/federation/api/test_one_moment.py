"""An answer that several queries make is of one moment, whatever is committed meanwhile."""

import pytest

from federation.api import operators
from federation.services import sessions
from tests.dashboard.test_moments import meanwhile
from tests.federation.cast import settle

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def session(enrol, running, now):
    enrol("anna", "ben", "carl")
    return settle(running(), now=now)


def test_a_session_that_runs_has_its_round(session, operator, alice, now, monkeypatch):
    meanwhile(monkeypatch, operators, lambda: sessions.cancel(session, by=alice, now=now), "_session")
    found = operator("GET", f"/sessions/{session.pk}").json()
    assert (found["status"], found["round"]["number"]) == ("running", 1)
    monkeypatch.undo()
    found = operator("GET", f"/sessions/{session.pk}").json()
    assert (found["status"], found["round"]) == ("cancelled", None)


def test_rounds_and_their_seats_agree(session, operator, alice, now, monkeypatch):
    meanwhile(monkeypatch, operators, lambda: sessions.cancel(session, by=alice, now=now), "_session")
    (only,) = operator("GET", f"/sessions/{session.pk}/rounds").json()["items"]
    assert only["status"] == "collecting" and {seat["status"] for seat in only["participations"]} == {"invited"}


def test_of_all_sessions_those_that_run_have_their_rounds(session, operator, alice, now, monkeypatch):
    meanwhile(monkeypatch, operators, lambda: sessions.cancel(session, by=alice, now=now), "_page")
    (found,) = operator("GET", "/sessions").json()["items"]
    assert (found["status"], found["round"]["number"]) == ("running", 1)
