from datetime import timedelta

import pytest

from federation import storage
from federation.models import Client
from federation.services import clients, rounds, server, sessions, waiting
from tests.federation.cast import send, settle


@pytest.fixture
def why(now):
    """The reasons that a session waits for, while a worker is at work."""
    server.tick(now=now)

    def why(session, at=now):
        session.refresh_from_db()
        return [(reason["reason"], reason["detail"]) for reason in waiting.reasons(session, now=at)]

    return why


@pytest.mark.parametrize(
    "seconds, said", [(0, "0 s"), (59, "59 s"), (60, "1 min"), (192, "3 min 12 s"), (3720, "1 h 2 min")]
)
def test_a_duration_is_said_as_one_would(seconds, said):
    assert waiting.span(seconds) == said


def test_who_does_not_run_waits_for_nothing(draft, alice, why, now):
    session = draft()
    assert why(session) == []
    sessions.cancel(session, by=alice, now=now)
    assert why(session) == []


def test_it_waits_for_its_first_model(draft, alice, why, now):
    session = draft()
    sessions.start(session, by=alice, now=now)
    assert [reason for reason, _ in why(session)] == ["preparing_model"]


def test_nobody_is_online(running, why):
    assert why(running(quorum=2)) == [
        ("no_clients", "Nobody is online. The round opens by itself as soon as 2 clients are there.")
    ]


def test_too_few_are_online(running, enrol, why):
    enrol("anna")
    assert why(running(quorum=3)) == [
        ("too_few_clients", "3 clients are needed and 1 is online. The round opens by itself.")
    ]


def test_the_clients_are_busy_elsewhere(open_round, running, why):
    open_round("anna", "ben")
    reason, detail = why(running(name="second"))[0]
    assert reason == "clients_busy" and detail.startswith("2 clients are asked and 0 are free")


def test_a_round_waits_for_those_who_have_not_reported(open_round, why, now):
    round_ = open_round("anna", "ben", "carl", quorum=2)
    session = round_.session
    assert why(session) == [
        ("collecting", "0 of 2 needed updates are in. Open: anna, ben, carl. The deadline is in 10 min.")
    ]
    send("anna", now=now)
    send("ben", now=now)
    ((_, detail),) = why(session)
    assert detail.startswith("The quorum of 2 is reached") and "Open: carl." in detail


def test_it_waits_for_the_aggregation(open_round, why, now):
    round_ = open_round("anna")
    send("anna", now=now)
    rounds.close(round_, now=now)
    assert why(round_.session) == [("aggregating", "1 update becomes the model of round 1.")]


def test_a_paused_session_says_so_with_what_still_goes_on(open_round, alice, why, now):
    session = open_round("anna").session
    sessions.pause(session, by=alice)
    assert [reason for reason, _ in why(session)] == ["collecting", "paused"]
    send("anna", now=now)
    settle(session, now=now)
    assert why(session) == [("paused", "The session is paused: no round opens until it is resumed.")]


def test_a_silent_worker_comes_first(running, why, now):
    assert why(running(), at=now + timedelta(seconds=11))[0][0] == "worker_silent"


def test_a_full_disk_is_said(running, why, monkeypatch):
    monkeypatch.setattr(storage, "SPARE_BYTES", 1 << 60)
    assert why(running())[0][0] == "disk_full"


def test_who_left_is_not_counted_as_online(running, enrol, why):
    enrol("anna", "ben")
    session = running(quorum=2)
    clients.leave(Client.objects.get(name="ben"))
    assert why(session)[0][0] == "too_few_clients"
