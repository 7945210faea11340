from datetime import timedelta

import pytest

from federation import phrases, storage
from federation.errors import RoundClosed
from federation.models import Client, Phase, TrainingSession
from federation.services import clients, rounds, seats, server, sessions, waiting
from federation.services.models import damage
from federation.services.rounds import aggregating
from federation.services.seats import progress, updates
from tests.federation.cast import damage_file, seat_of, send, settle, update


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
    assert phrases.span(seconds) == said


def test_who_does_not_run_waits_for_nothing(draft, alice, why, now):
    session = draft()
    assert why(session) == []
    sessions.cancel(session, by=alice, now=now)
    assert why(session) == []


def test_it_waits_for_its_first_model(draft, alice, why, now):
    session = draft()
    sessions.start(session, by=alice, now=now)
    assert [reason for reason, _ in why(session)] == ["preparing_model"]


def test_nobody_is_online(running, enrol, why):
    assert why(running(quorum=2)) == [
        ("no_clients", "Nobody is online. The round opens by itself as soon as 2 clients are there.")
    ]
    enrol("anna")
    ((reason, detail),) = why(running(client_tags=("gpu", "ward")))
    assert reason == "no_clients"
    assert detail.startswith("Nobody with the tag gpu or ward is online.") and "as soon as 1 client is there" in detail


def test_too_few_are_online(running, enrol, why):
    anna, _ = enrol("anna", "ben")
    assert why(running(quorum=3)) == [
        ("too_few_clients", "3 clients are needed and 2 are online. The round opens by itself.")
    ]
    clients.set_tags(anna, ["gpu"], by="alice")
    assert why(running(quorum=2, client_tags=("gpu",))) == [
        ("too_few_clients", "2 clients are needed and 1 is online with the tag gpu. The round opens by itself.")
    ]


def test_the_clients_are_busy_elsewhere(open_round, running, why):
    open_round("anna", "ben")
    assert why(running(name="second")) == [
        ("clients_busy", "2 clients are asked and 0 are free; the others are in a round of 'first'.")
    ]


def test_the_clients_become_free_while_it_is_asked_where_they_are(open_round, running, now, why, monkeypatch):
    first, second = open_round("anna").session, running(name="second")
    pool = rounds.pool

    def a_moment_ago(now):
        found = pool(now)
        sessions.cancel(first, by=None, now=now)
        return found

    monkeypatch.setattr(rounds, "pool", a_moment_ago)
    assert why(second) == [("clients_busy", "1 client is asked and 0 are free; the others are at work elsewhere.")]
    monkeypatch.undo()
    assert why(second) == []


def test_of_many_who_have_not_reported_a_few_are_named(open_round, why):
    session = open_round("anna", "ben", "carl", "dora", "emil").session
    assert "Open: anna, ben, carl and 2 more." in why(session)[0][1]


def test_a_round_waits_for_those_who_have_not_reported(open_round, why, now):
    round_ = open_round("anna", "ben", "carl", quorum=2)
    session = round_.session
    assert why(session) == [
        ("collecting", "0 of 2 needed updates are in. Open: anna, ben, carl. The deadline is in 10 min.")
    ]
    send("anna", now=now)
    assert why(session, now + timedelta(minutes=6))[-1][1].startswith(
        "1 of 2 needed updates is in. Open: ben, carl. The deadline is in 4 min."
    )
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
    assert why(session) == [("paused", "The session was paused by alice: no round opens until it is resumed.")]


def test_who_paused_it_is_left_out_where_nobody_is_known(open_round, why):
    session = open_round("anna").session
    sessions.pause(session, by=None)
    assert why(session)[-1] == ("paused", "The session is paused: the open round goes on, no new one opens.")


def test_a_silent_worker_comes_first(running, why, now):
    session = running()
    assert [reason for reason, _ in why(session, at=now + timedelta(seconds=9))] == ["no_clients"]
    assert [reason for reason, _ in why(session, at=now + timedelta(seconds=11))] == ["worker_silent", "no_clients"]


def test_a_worker_that_was_never_started_is_said(running, now):
    first = waiting.reasons(running(), now=now)[0]
    assert first["reason"] == "worker_silent" and first["detail"].endswith("Start the worker and the beat.")


def test_a_full_disk_is_said(running, why, now, monkeypatch):
    monkeypatch.setattr(storage.room, "SPARE_BYTES", 1 << 60)
    session = running()
    assert why(session)[0][0] == "disk_full"
    server.tick(now=now)
    monkeypatch.undo()  # there is room, but no tick has seen it
    assert why(session)[0] == ("disk_full", "The server's disk is full. Make room; it goes on by itself.")


def test_who_left_is_not_counted_as_online(running, enrol, why):
    enrol("anna", "ben")
    session = running(quorum=2)
    clients.leave(Client.objects.get(name="ben"))
    assert why(session)[0][0] == "too_few_clients"


def test_who_went_silent_is_named_with_what_it_did(open_round, why, now):
    session = open_round("anna", "ben", "carl").session
    for name, phase, fraction in (("anna", Phase.TRAINING, 0.5), ("ben", Phase.UPLOADING, 0.62)):
        seat = seats.offer(Client.objects.get(name=name), now=now)
        progress.report(seat, phase=phase, fraction=fraction, points=[], now=now)
    for seconds in (30, 60, 90):
        later = now + timedelta(seconds=seconds)
        server.tick(now=later)
    clients.touch(Client.objects.get(name="anna"), now=later)
    ((_, detail),) = why(session, later)
    assert detail.endswith(
        "The deadline is in 8 min 30 s. ben was last seen 1 min 30 s ago while uploading, 62 %. "
        "carl was last seen 1 min 30 s ago."
    )


def test_who_left_before_it_was_asked_again_is_named(closed, why, now, monkeypatch):
    monkeypatch.setattr(aggregating, "monotonic", lambda: 0.0)
    session = closed().session
    ben = seat_of("ben")
    clients.leave(ben.client)
    damage_file(ben.digest)
    settle(session, now=now)
    assert why(session) == [
        ("collecting", "1 of 2 needed updates is in. Open: ben. The deadline is in 10 min. ben left.")
    ]


def test_the_time_of_who_is_asked_again_begins_when_the_damage_is_found(closed, now):
    round_ = closed()
    found = now + timedelta(hours=1)
    damage_file(seat_of("ben").digest)
    settle(round_.session, now=found)
    round_.refresh_from_db()
    left = round_.deadline - found
    usual = timedelta(seconds=round_.session.round_seconds)
    assert usual <= left < usual + timedelta(minutes=5)


@pytest.mark.parametrize("is_open", [True, False])
def test_a_model_that_is_made_again_is_waited_for(open_round, alice, why, now, is_open):
    session = open_round("anna").session
    if not is_open:
        sessions.pause(session, by=alice)
        send("anna", now=now)
        settle(session, now=now)
        sessions.resume(session, by=alice, now=now)
    model = session.last_model()
    damage_file(model.digest)
    damage.note([model.digest])
    sentence = f"The file of model {model} is damaged and is being made again. Clients cannot fetch it meanwhile."
    assert why(session)[0] == ("preparing_model", sentence)


def test_a_session_waits_behind_one_that_waited_longer_for_the_same_clients(enrol, running, why, now):
    enrol("anna", "ben")
    settle(running(name="at work", cohort_size=1), now=now)
    first, second = (running(name=name, cohort_size=size) for name, size in (("first", 2), ("second", 1)))
    settle(first, now=now)
    assert why(first) == [
        ("clients_busy", "2 clients are asked and 1 is free; the others are in a round of 'at work'.")
    ]
    assert why(second) == [
        ("clients_busy", "It is the turn of 'first' first, which waited longer and may ask the same clients.")
    ]


def test_what_opens_now_waits_for_nothing(enrol, running, why):
    enrol("anna")
    assert why(running()) == []


def test_late_updates_become_the_model_too(open_round, why, now):
    session = open_round("anna", "ben", quorum=1, late_policy="next_round").session
    late = seat_of("ben")
    send("anna", now=now)
    rounds.finish(session, by="alice", now=now)
    settle(session, now=now)
    with pytest.raises(RoundClosed), storage.scratch() as file:
        file.write_bytes(update(late))
        updates.receive(seats.of(late.client, late.pk), file, now=now)
    send("anna", now=now)
    rounds.finish(session, by="alice", now=now)
    assert why(session) == [("aggregating", "2 updates become the model of round 2.")]


@pytest.mark.parametrize("state", ["collecting", "aggregating", "paused", "too few", "busy", "queued"])
def test_saying_why_takes_a_handful_of_queries(enrol, running, alice, now, state, django_assert_max_num_queries):
    server.tick(now=now)
    names = [f"site-{number:02}" for number in range(20)]
    enrol(*names)
    session = running(quorum=30 if state == "too few" else 1)
    if state in ("busy", "queued"):
        settle(running(name="other", cohort_size=5), now=now)
        for number in range(5):
            running(name=f"waits {number}")
        TrainingSession.objects.filter(pk=session.pk).update(cohort_size=1 if state == "queued" else None)
        session = running(name="mine", cohort_size=1 if state == "queued" else None)
    elif state != "too few":
        settle(session, now=now)
    if state == "aggregating":
        send(names[0], now=now)
        rounds.finish(session, by="alice", now=now)
    if state == "paused":
        sessions.pause(session, by=alice)
    session.refresh_from_db()
    with django_assert_max_num_queries(7):
        assert waiting.reasons(session, now=now)
