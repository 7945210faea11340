"""Tasks are called, never run eagerly: what they put in the queue is looked at and called in turn."""

from datetime import timedelta

import pytest
from django.utils import timezone
from kombu.exceptions import OperationalError

from federation import storage, tasks
from federation.lifecycle import SessionStatus
from federation.models import Client, Server, TrainingSession
from federation.services import sessions
from tests.federation.cast import kinds, seat_of, send, server_kinds

pytestmark = pytest.mark.django_db


def test_advancing_makes_every_move_that_is_due(enrol, draft, alice, now, enqueued):
    enrol("anna")
    session = draft(rounds=1)
    sessions.start(session, by=alice, now=now)
    tasks.advance(session.pk)  # makes the initial model and asks to be called again
    assert enqueued == [("advance", session.pk)]
    tasks.advance(session.pk)
    send("anna", now=now)
    tasks.advance(session.pk)
    session.refresh_from_db()
    assert session.status == SessionStatus.COMPLETED
    assert [kind for kind in kinds(session) if kind.startswith("session")] == [
        "session.created", "session.started", "session.completed",
    ]  # fmt: skip


def test_a_message_that_comes_twice_or_late_does_nothing_more(open_round):
    session = open_round("anna").session
    before = kinds(session)
    for _ in range(3):
        tasks.advance(session.pk)
    assert kinds(session) == before


def test_a_message_about_a_session_that_is_gone_is_dropped(db):
    tasks.advance(999)


def test_the_tick_advances_every_session_that_goes_on(running, draft, alice, enqueued):
    first, paused = running(), running(name="second")
    draft(name="third")
    sessions.pause(paused, by=alice)
    tasks.advance_all()
    assert sorted(enqueued) == [("advance", first.pk), ("advance", paused.pk)]


def test_the_tick_is_noted_and_tells_who_went_silent(enrol):
    enrol("anna")
    Client.objects.update(last_seen=timezone.now() - timedelta(seconds=60))
    tasks.advance_all()
    assert Server.objects.get().is_ticking(timezone.now())
    assert server_kinds() == ["client.enrolled", "client.offline"]


def test_a_lost_message_is_made_up_for_by_the_next_tick(open_round, now, enqueued):
    round_ = open_round("anna", rounds=1)
    send("anna", now=now)  # and whoever was to be told is not
    tasks.advance_all()
    for name, *arguments in list(enqueued):
        getattr(tasks, name)(*arguments)
    assert TrainingSession.objects.get().status == SessionStatus.COMPLETED
    assert seat_of("anna").round == round_


def test_pruning_removes_what_was_left_in_the_making():
    file = storage.scratch_path()
    file.write_bytes(b"half")
    tasks.prune()
    assert file.exists(), "it is young"


def test_a_broker_that_is_away_lets_no_request_fail(monkeypatch, caplog):
    def away(*_, **__):
        raise OperationalError("connection refused")

    monkeypatch.setattr(tasks.prune, "apply_async", away)
    tasks.prune.delay()
    assert "the broker is away" in caplog.text


def test_every_task_is_called_by_the_beat(settings):
    """`advance` is called by the tick."""
    assert {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()} == {
        "federation.tasks.advance_all",
        "federation.tasks.watch",
        "federation.tasks.expire",
        "federation.tasks.prune",
    }


@pytest.mark.parametrize("reserves", [1.9, 2.1])
def test_files_go_at_once_while_the_disk_is_nearly_full(db, monkeypatch, reserves):
    asked = []
    monkeypatch.setattr(storage.room, "free_bytes", lambda: int(reserves * storage.room.SPARE_BYTES))
    monkeypatch.setattr(tasks.expire, "delay", lambda: asked.append("expire"))
    tasks.watch()
    assert asked == (["expire"] if reserves < 2 else [])
