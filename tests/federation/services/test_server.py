from datetime import timedelta

import pytest

from federation import storage
from federation.lifecycle import RoundStatus, SessionStatus
from federation.models import Client, Round, Server, ServerEvent
from federation.services import models, rounds, server, sessions
from tests.federation.cast import server_kinds, settle

pytestmark = pytest.mark.django_db


def test_a_worker_is_at_work_while_it_ticks(now):
    server.tick(now=now)
    row = Server.objects.get()
    assert row.is_ticking(now + timedelta(seconds=9)) and not row.is_ticking(now + timedelta(seconds=10))


def test_silence_and_its_end_are_logged_once_each(now):
    server.tick(now=now)
    server.notice_silence(now=now + timedelta(seconds=5))
    assert server_kinds() == []
    for _ in range(2):
        server.notice_silence(now=now + timedelta(seconds=11))
    assert server_kinds() == ["worker.silent"]
    assert ServerEvent.objects.get().payload == {"last_tick": now.isoformat()}
    for _ in range(2):
        server.tick(now=now + timedelta(seconds=20))
    assert server_kinds() == ["worker.silent", "worker.recovered"]


def test_a_worker_that_never_was_is_not_missed(now):
    server.notice_silence(now=now)
    assert server_kinds() == []


# ---- the clock


HOUR = timedelta(hours=1)


@pytest.mark.parametrize("by", [HOUR, -HOUR])
def test_a_clock_that_is_set_neither_closes_nor_freezes_a_round(open_round, now, by):
    round_ = open_round("anna", max_retries=0)
    server.tick(now=now, clock=100.0)
    later = now + by + timedelta(seconds=1)
    assert not rounds.close(round_, now=later)
    server.tick(now=later, clock=101.0)
    round_.refresh_from_db()
    assert round_.deadline == now + timedelta(seconds=600) + by + timedelta(seconds=1)
    assert server_kinds()[-1] == "clock.jumped"
    assert not rounds.close(round_, now=round_.deadline - timedelta(seconds=1))
    Server.objects.update(ticked_at=round_.deadline)  # as it ticks all the time
    assert rounds.close(round_, now=round_.deadline)


def test_a_clock_that_is_set_back_freezes_neither_a_claim_nor_who_is_online(open_round, now):
    round_ = open_round("anna")
    Round.objects.update(status=RoundStatus.AGGREGATING)
    assert rounds.claim(round_, now=now)
    server.tick(now=now, clock=100.0)
    server.tick(now=now - HOUR, clock=101.0)
    later = now - HOUR + timedelta(seconds=46)
    assert rounds.claim(round_, now=later)
    assert not Client.objects.get().is_online(later)


def test_the_time_in_which_no_worker_was_at_work_does_not_count(open_round, now):
    round_ = open_round("anna")
    server.tick(now=now, clock=100.0)
    server.tick(now=now + HOUR, clock=100.0 + 3600)
    round_.refresh_from_db()
    assert round_.deadline == now + timedelta(seconds=600) + HOUR
    assert "clock.jumped" not in server_kinds()


def test_a_round_that_opened_by_the_new_time_keeps_its_deadline(running, enrol, now):
    enrol("anna")
    server.tick(now=now - HOUR, clock=100.0)
    round_ = settle(running(), now=now).active_round()
    server.tick(now=now, clock=101.0)
    round_.refresh_from_db()
    assert round_.deadline == now + timedelta(seconds=600)


def test_a_round_that_opened_a_moment_after_the_last_tick_has_its_time(open_round, now):
    server.tick(now=now - timedelta(seconds=1))
    round_ = open_round("anna")
    server.tick(now=now + HOUR)
    round_.refresh_from_db()
    assert round_.deadline == now + timedelta(seconds=601) + HOUR


def test_no_round_opens_before_the_tick_has_seen_that_the_clock_was_set_back(running, enrol, now):
    enrol("anna")
    session = running()
    server.tick(now=now + HOUR, clock=100.0)
    assert settle(session, now=now).active_round() is None
    server.tick(now=now, clock=101.0)
    Client.objects.update(last_seen=now)
    assert settle(session, now=now).active_round() is not None


def test_a_late_tick_moves_nothing(open_round, now):
    round_ = open_round("anna")
    server.tick(now=now, clock=100.0)
    server.tick(now=now + timedelta(seconds=30), clock=130.0)
    round_.refresh_from_db()
    assert round_.deadline == now + timedelta(seconds=600)


# ---- the disk


@pytest.fixture
def full(monkeypatch):
    """Switches between a disk that is full and one that has room."""
    return lambda is_full: monkeypatch.setattr(storage.room, "SPARE_BYTES", 1 << 60 if is_full else 1)


def test_a_full_disk_and_its_end_are_logged_once_each(now, full):
    for is_full in (True, True, False, False):
        full(is_full)
        server.tick(now=now)
    assert server_kinds() == ["storage.low", "storage.recovered"]


def test_while_the_disk_is_full_no_round_opens_or_misses_its_deadline_and_then_all_goes_on(
    open_round, running, enrol, now, full
):
    round_ = open_round("anna", max_retries=0)
    second = running(name="second", cohort_size=1)
    full(True)
    server.tick(now=now)
    enrol("ben")
    assert settle(second, now=now).active_round() is None
    late = round_.deadline
    for seconds in range(0, 600, 20):
        server.tick(now=now + timedelta(seconds=seconds))
    server.tick(now=late)
    assert not rounds.close(round_, now=late)
    full(False)
    server.tick(now=late)
    round_.refresh_from_db()
    assert round_.deadline == late + timedelta(seconds=600)
    Client.objects.update(last_seen=late)
    assert settle(second, now=late).active_round() is not None


def test_the_initial_model_waits_for_room_and_does_not_fail_its_session(draft, alice, now, full):
    session = draft()
    sessions.start(session, by=alice, now=now)
    full(True)
    models.request_initial(session, then=lambda: pytest.fail("there is no room"))
    session.refresh_from_db()
    assert (session.status, session.last_model()) == (SessionStatus.RUNNING, None)
    full(False)
    models.request_initial(session, then=lambda: None)
    assert session.last_model()
