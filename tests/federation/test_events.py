import pytest
from django.db import connection, transaction

from federation import events
from federation.models import Event, ServerEvent
from tests.federation.cast import at_once, kinds, server_kinds

KINDS = [
    "session.created",
    "session.started",
    "session.paused",
    "session.resumed",
    "session.completed",
    "session.failed",
    "session.cancelled",
    "round.opened",
    "round.aggregated",
    "round.completed",
    "round.failed",
    "round.cancelled",
    "round.extended",
    "seat.training",
    "seat.dropped",
    "seat.failed",
    "seat.skipped",
    "update.received",
    "update.rejected",
    "update.late",
    "model.published",
    "model.evaluated",
    "metrics.reported",
]
SERVER_KINDS = [
    "client.enrolled",
    "client.online",
    "client.offline",
    "client.left",
    "client.enabled",
    "client.disabled",
    "worker.silent",
    "worker.recovered",
    "storage.low",
    "storage.recovered",
]


def test_the_kinds_that_scripts_rely_on_are_there():
    assert set(KINDS) <= set(Event.Kind.values)
    assert set(SERVER_KINDS) <= set(ServerEvent.Kind.values)


def test_events_are_numbered_from_one_in_the_order_of_writing(draft):
    session = draft()
    events.record_all(session.pk, [(Event.Kind.ROUND_OPENED, {"round": 1}), (Event.Kind.ROUND_FAILED, {"round": 1})])
    events.record(session.pk, Event.Kind.SESSION_PAUSED, by="alice")
    session.refresh_from_db()
    assert session.last_seq == 4
    assert list(Event.objects.order_by("seq").values_list("seq", flat=True)) == [1, 2, 3, 4]
    assert kinds(session) == ["session.created", "round.opened", "round.failed", "session.paused"]


def test_a_sessions_events_are_numbered_without_gap(open_round):
    session = open_round("anna", "ben", "carl").session
    session.refresh_from_db()
    assert list(session.events.values_list("seq", flat=True)) == list(range(1, session.last_seq + 1))


def test_each_session_counts_for_itself(draft):
    first, second = draft(), draft(name="second")
    events.record(second.pk, Event.Kind.SESSION_PAUSED)
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.last_seq, second.last_seq) == (1, 2)


def test_an_undone_change_leaves_no_gap(draft):
    session = draft()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        events.record(session.pk, Event.Kind.SESSION_PAUSED)
        _ = 1 / 0
    events.record(session.pk, Event.Kind.SESSION_RESUMED)
    assert list(session.events.values_list("seq", "kind")) == [(1, "session.created"), (2, "session.resumed")]


def test_the_servers_log_repeats_starts_and_ends_and_nothing_else(draft):
    session = draft()
    for kind in (Event.Kind.SESSION_STARTED, Event.Kind.SESSION_PAUSED, Event.Kind.SESSION_COMPLETED):
        events.record(session.pk, kind)
    assert server_kinds() == ["session.started", "session.completed"]
    assert ServerEvent.objects.latest("seq").payload["session"] == {"id": str(session.pk)}


def test_whoever_listens_is_woken_after_the_commit_and_not_before(
    draft, monkeypatch, django_capture_on_commit_callbacks
):
    woken = []
    monkeypatch.setattr(events, "on_commit", [woken.append])
    session = draft()
    with django_capture_on_commit_callbacks(execute=True):
        events.record(session.pk, Event.Kind.SESSION_PAUSED)
        assert not woken
    assert woken == [{"session.paused"}]


@pytest.mark.django_db(transaction=True)
def test_outside_of_a_transaction_nothing_is_written(draft):
    session = draft()
    with pytest.raises(RuntimeError, match="transaction"):
        events.record(session.pk, Event.Kind.SESSION_PAUSED)
    with pytest.raises(RuntimeError, match="transaction"):
        events.record_server(ServerEvent.Kind.CLIENT_ONLINE)
    assert kinds(session) == ["session.created"]


@pytest.mark.django_db(transaction=True)
def test_writers_at_once_leave_no_gap_and_take_no_number_twice(draft):
    session = draft()

    def write():
        for _ in range(10):
            with transaction.atomic():
                events.record(session.pk, Event.Kind.METRICS_REPORTED)
                events.record_server(ServerEvent.Kind.CLIENT_ONLINE)

    assert at_once(write, write, write) == [None] * 3
    assert list(session.events.values_list("seq", flat=True)) == list(range(1, 32))
    assert list(ServerEvent.objects.values_list("seq", flat=True)) == list(range(1, 31))


@pytest.mark.django_db(transaction=True)
def test_who_has_seen_a_number_has_seen_all_before_it(draft):
    """A transaction that took a number first also commits first: the other waits for it."""
    session = draft()
    seen = []

    def read():
        for _ in range(200):
            numbers = list(Event.objects.filter(session=session).order_by("seq").values_list("seq", flat=True))
            seen.append(numbers == list(range(1, len(numbers) + 1)))

    def write():
        for _ in range(20):
            with transaction.atomic():
                events.record(session.pk, Event.Kind.METRICS_REPORTED)
                with connection.cursor() as cursor:  # some more work before the commit
                    cursor.execute("SELECT 1")

    assert at_once(write, write, read) == [None] * 3
    assert all(seen)
