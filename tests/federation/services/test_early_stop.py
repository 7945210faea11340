"""Early stop by the server's own measurements: the next round waits for them, and never for ever."""

from datetime import timedelta

import pytest

from federation import tasks
from federation.errors import Invalid
from federation.evaluator import evaluator
from federation.fl.workloads.measured import BUILT_IN
from federation.fl.workloads.synthetic import Synthetic
from federation.lifecycle import SessionStatus
from federation.models import AlertRule, Client, Event, Server, TrainingSession
from federation.services import alerts, models, rounds, seats, server, sessions, waiting
from federation.services.rounds import closing
from tests.federation.cast import at_once, kinds, last_payload, seat_of, send, settle

pytestmark = pytest.mark.django_db
RULE = {"target": 0.9, "measured_by": "server"}


@pytest.fixture(autouse=True)
def has_a_test_set(monkeypatch):
    """The workload is measured by the server, as the test says what it finds."""
    monkeypatch.setattr(Synthetic, "needs_torch", True)
    monkeypatch.setitem(BUILT_IN, "synthetic", BUILT_IN["digits"])


@pytest.fixture
def begun(draft, alice, now, monkeypatch):
    """Starts a session, whose initial model this process makes."""

    def begun(**change):
        session = draft(**change)
        sessions.start(session, by=alice, now=now)
        with monkeypatch.context() as patched:
            patched.setattr(Synthetic, "needs_torch", False)
            models.request_initial(session, then=lambda: None)
        return session

    return begun


@pytest.fixture
def session(enrol, begun, now):
    """Anna has reported in round 1, and its model is not measured yet."""
    enrol("anna")
    session = settle(begun(rounds=9, main_measure="accuracy", early_stop=RULE), now=now)
    send("anna", now=now)
    return settle(session, now=now)


def measure(session, now, accuracy=0.5, error=""):
    found = {} if error else {"accuracy": accuracy}
    models.record_evaluation(session.last_model().pk, found, error=error, now=now)


def why(session, now):
    return [
        (one["reason"], one["lead"]) for one in waiting.reasons(session, now=now) if one["reason"] != "worker_silent"
    ]


def test_the_next_round_waits_for_the_measurement(session, now):
    assert session.active_round() is None
    assert why(session, now) == [("preparing_model", "The server measures v1, because the session may stop early.")]
    measure(session, now)
    assert settle(session, now=now).active_round().number == 2
    assert [reason for reason, _ in why(session, now)] == ["collecting"]


def test_it_stops_when_the_measurement_says_so(session, now):
    measure(session, now, 0.95)
    settle(session, now=now)
    assert (session.status, session.last_model().version) == (SessionStatus.COMPLETED, 1)
    stop = {"measure": "accuracy", "why": "target", "value": 0.95, "best": 0.95}
    assert last_payload(session, Event.Kind.SESSION_COMPLETED) == {"rounds": 1, "early_stop": stop}


def test_another_sessions_turn_opens_no_round_that_is_not_needed(session, now):
    measure(session, now, 0.95)
    assert rounds.open_next(now=now)
    session.refresh_from_db()
    assert session.status == SessionStatus.COMPLETED


def test_what_the_clients_measure_does_not_count(session, now):
    measure(session, now)
    settle(session, now=now)
    send("anna", now=now, metrics='{"base_val_accuracy": 1.0}')
    assert settle(session, now=now).status == SessionStatus.RUNNING


def test_a_failed_measurement_goes_on_and_is_told(session, now):
    alerts.save_rule(AlertRule(kind="loss_diverged", created_at=now), by="alice")
    measure(session, now, error="MemoryError: no room for the test set")
    assert settle(session, now=now).active_round().number == 2
    assert why(session, now)[-1] == (
        "unmeasured",
        "The server could not measure the accuracy of v1, and the session continued without it.",
    )
    assert alerts.evaluate(now=now) == 1


def test_an_evaluator_that_never_answers_holds_it_up_for_ten_minutes(session, now):
    alerts.save_rule(AlertRule(kind="loss_diverged", created_at=now), by="alice")
    later = session.idle_since + timedelta(minutes=10)
    almost = later - timedelta(seconds=1)
    for at, opens in ((almost, False), (later, True)):
        Server.objects.update_or_create(pk=1, defaults={"ticked_at": at})
        Client.objects.update(last_seen=at)
        settle(session, now=at)
        assert (session.active_round() is not None) is opens
        assert alerts.evaluate(now=at) == int(opens)
    lead = "The server has not measured v1 yet, and the session continued without it."
    assert why(session, later)[-1] == ("unmeasured", lead)
    measure(session, later, 0.95)
    send("anna", now=later)
    assert settle(session, now=later).status == SessionStatus.COMPLETED, "what came late counts between rounds"


def test_time_in_which_nobody_worked_does_not_count(session, now):
    server.tick(now=now)  # a moment before the round closed
    later = now + timedelta(hours=1)
    Client.objects.update(last_seen=later)
    assert settle(session, now=later).active_round() is None, "before the tick has seen the gap"
    server.tick(now=later)
    assert settle(session, now=later).active_round() is None
    assert why(session, later)[0][0] == "preparing_model"


def test_pausing_while_it_waits(session, alice, now):
    sessions.pause(session, by=alice)
    measure(session, now)
    assert settle(session, now=now).status == SessionStatus.PAUSED
    sessions.resume(session, by=alice, now=now)
    assert settle(session, now=now).active_round().number == 2


def test_a_paused_session_completes_when_it_has_learnt_enough(session, alice, now):
    sessions.pause(session, by=alice)
    measure(session, now, 0.95)
    assert settle(session, now=now).status == SessionStatus.COMPLETED


def test_cancelling_and_adding_rounds_while_it_waits(session, alice, now):
    sessions.add_rounds(session, 3, by=alice)
    sessions.cancel(session, by=alice, now=now)
    measure(session, now, 0.95)
    assert settle(session, now=now).status == SessionStatus.CANCELLED


def test_its_clients_work_for_others_meanwhile(session, begun, now):
    assert settle(begun(name="other"), now=now).active_round().number == 1
    measure(session, now)
    settle(session, now=now)
    assert [reason for reason, _ in why(session, now)] == ["clients_busy"]


def test_another_try_of_a_round_does_not_wait_again(session, now):
    measure(session, now)
    settle(session, now=now)
    session.models.filter(version=1).update(evaluated_at=None)
    seats.fail(seat_of("anna"), reason="out of memory")
    assert settle(session, now=now).active_round().attempt == 2


def test_of_two_workers_one_ends_it(session, now, transactional_db):
    measure(session, now, 0.95)
    row = TrainingSession.objects.get(pk=session.pk)
    at_once(*[lambda: rounds.advance(row, now=now)] * 3)
    assert kinds(session).count("session.completed") == 1


def test_who_opened_a_round_meanwhile_is_not_overruled(session, now, monkeypatch):
    found = closing.stopping.by_server

    def a_moment_later(row):
        TrainingSession.objects.filter(pk=row.pk).update(idle_since=None)
        return found(row)

    measure(session, now, 0.95)
    monkeypatch.setattr(closing.stopping, "by_server", a_moment_later)
    assert not closing.stop_early(session, now=now)
    assert TrainingSession.objects.get().status == SessionStatus.RUNNING


def test_the_answer_of_the_evaluator_moves_the_session_at_once(session, now, monkeypatch, enqueued):
    monkeypatch.setattr(evaluator, "submit", lambda key, request, done: done({"ok": True, "metrics": {"accuracy": 1}}))
    tasks.advance(session.pk)
    assert ("advance", session.pk) in enqueued
    assert settle(session, now=now).status == SessionStatus.COMPLETED


@pytest.mark.parametrize(
    ("change", "field", "says"),
    [
        ({"main_measure": "mae"}, "main_measure", "The server measures accuracy, loss of synthetic."),
        ({"early_stop": RULE | {"measured_by": "nobody"}}, "early_stop.measured_by", "one of clients, server"),
    ],
)
def test_what_the_server_does_not_measure_stops_nothing(draft, change, field, says):
    with pytest.raises(Invalid, match=says) as refused:
        draft(**{"main_measure": "accuracy", "early_stop": RULE} | change)
    assert [name for name, _ in refused.value.errors] == [field]


def test_without_a_test_set_the_server_stops_nothing(draft, monkeypatch):
    monkeypatch.setattr(Synthetic, "needs_torch", False)
    with pytest.raises(Invalid, match="The server has no test set for synthetic. Choose clients.") as refused:
        draft(main_measure="accuracy", early_stop=RULE)
    assert [name for name, _ in refused.value.errors] == ["early_stop.measured_by"]
