from dataclasses import replace
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from federation import storage
from federation.errors import Conflict, Invalid
from federation.fl import workloads
from federation.fl.strategies import STRATEGIES
from federation.lifecycle import FileStatus, RoundStatus, SeatStatus, SessionStatus
from federation.models import Event, TrainingSession
from federation.services import retention, rounds, sessions
from federation.session_settings import Spec
from tests.federation.cast import kinds, last_payload, seat_of, send, settle
from tests.federation.conftest import SPEC

pytestmark = pytest.mark.django_db


# ---- creating


def test_options_that_are_left_out_get_their_defaults(alice, now):
    session = sessions.create(Spec(name="first", workload="synthetic"), by=alice, now=now)
    assert session.workload_options == {"num_parameters": 100_000}
    assert session.train == {"epochs": 1, "batch_size": 32, "learning_rate": 0.1}
    assert session.strategy_options == {"server_lr": 1.0, "weighting": "examples", "most_share": 0.5}
    assert session.workload_digest == workloads.get("synthetic").digest()
    assert (session.status, kinds(session)) == (SessionStatus.DRAFT, ["session.created"])


REFUSED = {
    "a quorum too small for the largest share": (
        {"strategy_options": {"weighting": "capped", "most_share": 0.3}, "quorum": 2},
        "strategy.options.most_share",
    ),
    "a quorum too small for the strategy": ({"strategy": "krum", "quorum": 4}, "quorum"),
    "a schedule that closes too early for the strategy": (
        {"strategy": "krum", "quorum": 9, "schedule": "buffered"},
        "schedule.name",
    ),
    "no name": ({"name": "  "}, "name"),
    "a name that is too long": ({"name": "x" * 101}, "name"),
    "no rounds": ({"rounds": 0}, "rounds"),
    "negative rounds": ({"rounds": -3}, "rounds"),
    "no quorum": ({"quorum": 0}, "quorum"),
    "a quorum above the cohort": ({"quorum": 3, "cohort_size": 2}, "quorum"),
    "no cohort": ({"cohort_size": 0}, "cohort_size quorum"),
    "no time": ({"round_seconds": 0}, "round_seconds"),
    "more than a month": ({"round_seconds": 2_592_001}, "round_seconds"),
    "negative retries": ({"max_retries": -1}, "max_retries"),
    "a negative seed": ({"seed": -1}, "seed"),
    "a seed that JavaScript cannot hold": ({"seed": 2**53}, "seed"),
    "an unknown workload": ({"workload": "chess"}, "workload.name"),
    "an unknown option of the workload": ({"workload_options": {"depth": 3}}, "workload.options.depth"),
    "no parameters": ({"workload_options": {"num_parameters": 0}}, "workload.options.num_parameters"),
    "an unknown strategy": ({"strategy": "magic"}, "strategy.name"),
    "an unknown option of the strategy": ({"strategy_options": {"spells": 3}}, "strategy.options.spells"),
    "a negative learning rate": ({"train": {"learning_rate": -0.1}}, "train.learning_rate"),
    "a learning rate of zero": ({"train": {"learning_rate": 0}}, "train.learning_rate"),
    "a learning rate that is not a number": ({"train": {"learning_rate": float("nan")}}, "train.learning_rate"),
    "half an epoch": ({"train": {"epochs": 0.5}}, "train.epochs"),
    "true epochs": ({"train": {"epochs": True}}, "train.epochs"),
    "a batch of nothing": ({"train": {"batch_size": 0}}, "train.batch_size"),
    "an unknown member of train": ({"train": {"momentum": 0.9}}, "train.momentum"),
    "a start that is not there": ({"start_from": (999, 0)}, "start_from"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_an_impossible_value_is_refused_by_name_and_a_good_session_made_next(alice, now, what):
    change, field = REFUSED[what]
    with pytest.raises(Invalid) as refused:
        sessions.create(replace(SPEC, **change), by=alice, now=now)
    assert [name for name, _ in refused.value.errors] == field.split()
    assert all(len(sentence) > 10 for _, sentence in refused.value.errors)
    assert not TrainingSession.objects.exists()
    assert sessions.create(SPEC, by=alice, now=now).pk


def test_everything_that_is_wrong_is_told_at_once(alice, now):
    with pytest.raises(Invalid) as refused:
        sessions.create(replace(SPEC, name="", rounds=0, strategy="magic"), by=alice, now=now)
    assert [name for name, _ in refused.value.errors] == ["name", "rounds", "strategy.name"]


def test_a_refusal_lists_what_is_allowed(alice, now):
    with pytest.raises(Invalid, match=", ".join(sorted(STRATEGIES))):
        sessions.create(replace(SPEC, strategy="magic"), by=alice, now=now)
    with pytest.raises(Invalid, match="synthetic"):
        sessions.create(replace(SPEC, workload="chess"), by=alice, now=now)


def test_a_session_goes_on_from_another_sessions_model(open_round, draft, now):
    first = open_round("anna").session
    send("anna", now=now)
    settle(first, now=now)
    second = draft(name="second", start_from=(first.pk, 1))
    model = second.last_model()
    assert (model.version, model.digest) == (0, first.last_model().digest)
    assert model.parent == first.last_model()


def test_it_cannot_go_on_from_a_model_of_other_options(running, alice, now):
    first = running()
    change = {"start_from": (first.pk, 0), "workload_options": {"num_parameters": 11}}
    with pytest.raises(Invalid, match="other options"):
        sessions.create(replace(SPEC, **change), by=alice, now=now)


# ---- steering


def test_the_life_of_a_session(draft, alice, now):
    session = draft()
    sessions.start(session, by=alice, now=now)
    sessions.pause(session, by=alice)
    sessions.resume(session, by=alice, now=now)
    sessions.cancel(session, by=alice, now=now)
    session.refresh_from_db()
    assert (session.status, session.ended_at, session.reason) == (SessionStatus.CANCELLED, now, "Cancelled by alice.")
    assert kinds(session) == [f"session.{kind}" for kind in ("created", "started", "paused", "resumed", "cancelled")]
    assert last_payload(session, Event.Kind.SESSION_PAUSED) == {"by": "alice"}


ACTIONS = {
    "start": lambda session, now: sessions.start(session, by=None, now=now),
    "pause": lambda session, now: sessions.pause(session, by=None),
    "resume": lambda session, now: sessions.resume(session, by=None, now=now),
    "cancel": lambda session, now: sessions.cancel(session, by=None, now=now),
}
ALLOWED = {
    SessionStatus.DRAFT: {"start", "cancel"},
    SessionStatus.RUNNING: {"pause", "cancel"},
    SessionStatus.PAUSED: {"resume", "cancel"},
}


@pytest.mark.parametrize("status", SessionStatus.values)
@pytest.mark.parametrize("action", ACTIONS)
def test_an_action_that_the_state_does_not_allow_changes_nothing(draft, now, status, action):
    TrainingSession.objects.filter(pk=draft().pk).update(status=status)
    session = TrainingSession.objects.get()
    if action in ALLOWED.get(status, ()):
        ACTIONS[action](session, now)
        assert session.status != status
    else:
        with pytest.raises(Conflict, match=f"first is {status}"):
            ACTIONS[action](session, now)
        assert TrainingSession.objects.get().status == status
        assert kinds(session) == ["session.created"]


def test_who_acts_on_an_old_picture_is_refused(running, alice):
    session = running()
    stale = TrainingSession.objects.get(pk=session.pk)
    sessions.pause(session, by=alice)
    with pytest.raises(Conflict, match="is paused"):
        sessions.pause(stale, by=alice)
    assert kinds(session).count("session.paused") == 1


@pytest.mark.parametrize("status", [RoundStatus.COLLECTING, RoundStatus.AGGREGATING])
def test_cancelling_ends_the_open_round_and_its_seats(open_round, alice, now, status):
    round_ = open_round("anna", "ben", quorum=1)
    send("ben", now=now)
    if status == RoundStatus.AGGREGATING:
        rounds.close(round_, now=round_.deadline)
    sessions.cancel(round_.session, by=alice, now=now)
    round_.refresh_from_db()
    assert (round_.status, round_.closed_at) == (RoundStatus.CANCELLED, now)
    assert (seat_of("anna").status, seat_of("ben").status) == (SeatStatus.DROPPED, SeatStatus.REPORTED)
    assert kinds(round_.session)[-2:] == ["round.cancelled", "session.cancelled"]
    assert settle(round_.session, now=now).last_model().version == 0


def test_a_round_that_opened_while_its_session_was_being_cancelled_is_cancelled_too(
    open_round, alice, now, monkeypatch
):
    """And its seats are locked before the session's row, as everywhere: else reports of its clients could deadlock."""
    session, looks = open_round("anna").session, []
    look = rounds.cancel_active

    def look_before_it_opened(session, *, now):
        looks.append(session.status)
        if len(looks) > 1:
            look(session, now=now)

    monkeypatch.setattr(rounds, "cancel_active", look_before_it_opened)
    with CaptureQueriesContext(connection) as asked:
        sessions.cancel(session, by=alice, now=now)
    assert looks == [SessionStatus.RUNNING] * 2 and session.status == SessionStatus.CANCELLED
    assert session.round_set.get().status == RoundStatus.CANCELLED
    assert seat_of("anna").status == SeatStatus.DROPPED
    assert kinds(session).count("session.cancelled") == 1
    said = [query["sql"] or "" for query in asked]
    writes = [sql for sql in said if sql.startswith(("UPDATE", "ROLLBACK"))]
    after = writes[[sql.startswith("ROLLBACK") for sql in writes].index(True) :]
    tables = ('UPDATE "federation_participation"', 'UPDATE "federation_trainingsession"')
    seats, row = (next(at for at, sql in enumerate(after) if sql.startswith(table)) for table in tables)
    assert seats < row


def test_cancelling_frees_the_clients_for_another_session(open_round, running, alice, now):
    first = open_round("anna").session
    second = running(name="second")
    assert settle(second, now=now).active_round() is None
    sessions.cancel(first, by=alice, now=now)
    assert settle(second, now=now).active_round() is not None


def test_a_cancelling_that_comes_too_late_ends_no_round(open_round, alice, now):
    session = open_round("anna", rounds=1).session
    stale = TrainingSession.objects.get(pk=session.pk)
    send("anna", now=now)
    settle(session, now=now)
    with pytest.raises(Conflict, match="is completed"):
        sessions.cancel(stale, by=alice, now=now)
    assert session.round_set.get().status == RoundStatus.COMPLETED


def test_no_round_opens_while_a_session_is_paused(enrol, running, alice, now):
    enrol("anna")
    session = running()
    sessions.pause(session, by=alice)
    assert settle(session, now=now).active_round() is None
    sessions.resume(session, by=alice, now=now)
    assert settle(session, now=now).active_round().number == 1


# ---- more rounds, once more, further


def test_more_rounds_keep_a_session_going(open_round, alice, now):
    session = open_round("anna", rounds=1).session
    sessions.add_rounds(session, 1, by=alice)
    send("anna", now=now)
    assert settle(session, now=now).status == SessionStatus.RUNNING
    assert session.active_round().number == 2
    assert last_payload(session, Event.Kind.SESSION_EXTENDED) == {"more": 1, "rounds": 2, "by": "alice"}


@pytest.mark.parametrize("more", [0, -1, 100_000])
def test_an_impossible_number_of_more_rounds_is_refused(running, alice, more):
    with pytest.raises(Invalid, match="more rounds"):
        sessions.add_rounds(running(), more, by=alice)


def test_a_session_that_has_ended_gets_no_more_rounds(running, alice, now):
    session = running()
    sessions.cancel(session, by=alice, now=now)
    with pytest.raises(Conflict, match="from its last model"):
        sessions.add_rounds(session, 1, by=alice)


def test_once_more_is_the_same_from_the_same_start(running, alice, now):
    first = running(seed=7, quorum=2, train={"epochs": 3})
    second = sessions.again(first, by=alice, now=now)
    assert (second.name, second.status) == ("first 2", SessionStatus.RUNNING)
    assert replace(sessions.spec_of(second), name="first") == sessions.spec_of(first)


def test_going_on_starts_from_the_last_model(open_round, alice, now):
    first = open_round("anna", rounds=1).session
    send("anna", now=now)
    settle(first, now=now)
    second = sessions.go_on(first, rounds_=5, by=alice, now=now)
    assert (second.name, second.rounds) == ("first 2", 5)
    assert second.last_model().digest == first.last_model().digest


def test_nothing_can_be_gone_on_from_before_there_is_a_model(draft, alice, now):
    with pytest.raises(Conflict, match="no model yet"):
        sessions.go_on(draft(), rounds_=5, by=alice, now=now)


def test_the_next_name_is_one_that_is_not_in_use(draft):
    assert sessions.next_name("first") == "first 2"
    draft(name="first 2")
    assert sessions.next_name("first") == sessions.next_name("first 2") == "first 3"


def test_a_long_name_that_is_used_again_stays_within_its_limit(running, alice, now):
    first = running(name="x" * 100)
    second, third = (sessions.again(first, by=alice, now=now) for _ in range(2))
    assert len({first.name, second.name, third.name}) == 3
    assert all(len(session.name) <= 100 for session in (second, third))


# ---- deleting


def test_deleting_removes_the_files_that_nobody_else_needs(open_round, draft, now):
    first = open_round("anna", rounds=1).session
    send("anna", now=now)
    settle(first, now=now)
    sent, made = seat_of("anna").digest, first.last_model().digest
    initial = first.models.get(version=0).digest
    draft(name="second", start_from=(first.pk, 1))
    sessions.delete(first)
    assert [storage.exists(digest) for digest in (sent, initial, made)] == [False, False, True]
    assert list(TrainingSession.objects.values_list("name", flat=True)) == ["second"]


def test_a_session_with_more_files_than_one_query_takes_is_deleted_too(open_round, draft, now, monkeypatch):
    monkeypatch.setattr(retention, "DIGESTS_AT_ONCE", 1)
    session = open_round("anna", rounds=1).session
    send("anna", now=now)
    settle(session, now=now)
    kept = session.last_model().digest
    draft(name="second", start_from=(session.pk, 1))
    sessions.delete(session)
    assert [file.stem for file in storage.path(kept).parent.parent.glob("*/*")] == [kept]


def test_a_model_whose_file_was_removed_is_nothing_to_start_from(running, alice, now):
    session = running()
    session.models.update(file_status=FileStatus.REMOVED)
    with pytest.raises(Invalid, match="removed; choose one whose file is there"):
        sessions.create(replace(SPEC, start_from=(session.pk, 0)), by=alice, now=now)


@pytest.mark.parametrize("paused", [False, True])
def test_a_session_that_goes_on_cannot_be_deleted(running, alice, paused):
    session = running()
    if paused:
        sessions.pause(session, by=alice)
    with pytest.raises(Conflict, match="Cancel it before"):
        sessions.delete(session)
    assert storage.exists(session.last_model().digest)


def test_the_optimizers_state_goes_with_its_session(open_round, now):
    session = open_round("anna", rounds=1, strategy="fedadam").session
    send("anna", now=now)
    settle(session, now=now)
    slots = session.last_model().slots_digest
    assert storage.exists(slots)
    sessions.delete(session)
    assert not storage.exists(slots)


def test_a_resumed_session_stands_at_the_end_of_the_queue(enrol, running, alice, now):
    enrol("anna")
    first, second = running(), running(name="second")
    sessions.pause(first, by=alice)
    sessions.resume(first, by=alice, now=now + timedelta(seconds=1))
    assert list(TrainingSession.objects.waiting_for_a_round()) == [second, first]
