"""Steps that fail for no known reason."""

import math
from contextlib import suppress
from datetime import timedelta

import pytest
from django.db import OperationalError

from federation import storage, tasks
from federation.evaluator import evaluator
from federation.lifecycle import FileStatus, RoundStatus, SessionStatus
from federation.models import Alert, AlertRule, Event, GlobalModel, Round, TrainingSession
from federation.services import alerts, models, repair, sessions, waiting
from federation.services.models import damage
from federation.services.rounds import aggregating, closing, opening
from tests.federation.cast import last_payload, send, settle
from tests.federation.services.moves import advance, fresh

pytestmark = pytest.mark.django_db


def broken(*args, **kwargs):
    raise ValueError("no such thing\n\0 at all")


def failing(session, now):
    return [one["detail"] for one in waiting.reasons(fresh(session), now=now) if one["reason"] == "retrying"]


# ---- aggregating


@pytest.mark.parametrize(
    ("where", "what"), [(aggregating.building, "make"), (aggregating, "publish"), (aggregating.storage, "put")]
)
def test_a_step_that_fails_three_times_fails_its_round(closed, now, monkeypatch, where, what):
    round_ = closed(max_retries=0)
    AlertRule.objects.create(kind="round_failed", created_at=now - timedelta(hours=1))
    monkeypatch.setattr(where, what, broken)
    for times in ("once", "twice"):
        assert not advance(round_.session, now)
        assert Round.objects.get().status == RoundStatus.AGGREGATING
        (told,) = failing(round_.session, now)
        assert "could not aggregate round 1: ValueError: no such thing ? at all." in told
        assert f"It failed {times} and is tried again." in told
    assert advance(round_.session, now)
    failed = Round.objects.get()
    assert failed.status == RoundStatus.FAILED
    assert failed.reason.startswith("The server could not aggregate round 1: ValueError: no such thing ? at all.")
    assert last_payload(round_.session, Event.Kind.ROUND_FAILED)["reason"] == failed.reason
    assert fresh(round_.session).status == SessionStatus.FAILED
    assert failed.reason in fresh(round_.session).reason
    assert fresh(round_.session).failing == {}
    alerts.evaluate(now=now)
    assert failed.reason in Alert.objects.get().sentence


def test_the_round_is_tried_again_as_often_as_the_session_says(closed, now, monkeypatch):
    session = closed(max_retries=1).session
    monkeypatch.setattr(aggregating, "publish", broken)
    for _ in range(3):
        advance(session, now)
    assert advance(session, now), "the second try opens"
    assert [(r.attempt, r.status) for r in session.round_set.all()] == [(1, "failed"), (2, "collecting")]
    monkeypatch.undo()
    send("anna", now=now)
    send("ben", now=now)
    settle(session, now=now)
    assert session.models.filter(version=1).exists()


def test_a_step_that_succeeds_in_between_is_forgotten(closed, now, monkeypatch):
    session = closed().session
    with monkeypatch.context() as patched:
        patched.setattr(aggregating, "publish", broken)
        advance(session, now)
        advance(session, now)
    assert advance(session, now)
    assert fresh(session).failing == {}
    assert not failing(session, now)


def test_failures_of_another_round_do_not_count(closed, now, monkeypatch):
    session = closed(rounds=5).session
    with monkeypatch.context() as patched:
        patched.setattr(aggregating, "publish", broken)
        advance(session, now)
        advance(session, now)
    stale = fresh(session).failing
    settle(session, now=now)
    TrainingSession.objects.filter(pk=session.pk).update(failing=stale)  # as a worker leaves it that was killed
    send("anna", now=now)
    send("ben", now=now)
    assert advance(session, now)
    assert not failing(session, now)
    monkeypatch.setattr(aggregating, "publish", broken)
    assert not advance(session, now)
    assert session.active_round() is not None, "it is the first time for this one"


@pytest.mark.parametrize("absent", [OperationalError("server closed the connection"), OSError(28, "No space left")])
def test_what_passes_by_itself_is_not_counted(closed, now, monkeypatch, absent):
    round_ = closed(rounds=1)

    def fail(*args, **kwargs):
        raise absent

    with monkeypatch.context() as patched:
        patched.setattr(aggregating.building, "make", fail)
        for minute in range(30):
            with suppress(OperationalError):
                advance(round_.session, now + timedelta(minutes=minute))
    assert fresh(round_.session).failing == {}
    assert Round.objects.get().claims <= 1
    assert settle(round_.session, now=now + timedelta(hours=1)).status == SessionStatus.COMPLETED


def test_while_the_disk_is_full_nothing_is_counted(closed, now, monkeypatch):
    round_ = closed()
    monkeypatch.setattr(storage, "is_full", lambda: True)
    monkeypatch.setattr(aggregating, "publish", broken)
    for _ in range(5):
        with pytest.raises(ValueError):
            advance(round_.session, now)
    assert fresh(round_.session).failing == {}
    assert Round.objects.get().status == RoundStatus.AGGREGATING


def test_a_step_that_cannot_be_given_up_either_is_still_told(closed, now, monkeypatch):
    round_ = closed()
    monkeypatch.setattr(aggregating, "publish", broken)
    monkeypatch.setattr(closing.late, "release", broken)
    for _ in range(4):
        assert not advance(round_.session, now)
    assert "It failed 4 times and is tried again." in failing(round_.session, now)[0]
    monkeypatch.undo()
    assert settle(round_.session, now=now).models.filter(version=1).exists()


# ---- opening and closing


def test_a_session_that_cannot_open_a_round_keeps_no_other_from_it(enrol, running, alice, now, monkeypatch):
    enrol("anna")
    bad, good = running(max_retries=0), running(name="good")
    real = opening.seats.invite

    def invite(round_, *args):
        if round_.session_id == bad.pk:
            broken()
        real(round_, *args)

    monkeypatch.setattr(opening.seats, "invite", invite)
    assert advance(good, now)
    assert fresh(good).active_round() is not None
    assert "open the next round" in failing(bad, now)[0]
    sessions.cancel(fresh(good), by=alice, now=now)
    for _ in range(2):
        advance(bad, now)
    failed = bad.round_set.get()
    assert (failed.status, failed.number) == (RoundStatus.FAILED, 1)
    assert "could not open the next round: ValueError" in failed.reason
    assert failed.reason in fresh(bad).reason


def test_settings_that_cannot_be_read_stop_their_session_alone(enrol, running, now):
    enrol("anna")
    bad, good = running(max_retries=0), running(name="good")
    TrainingSession.objects.filter(pk=bad.pk).update(client_tags=5)
    assert [one["reason"] for one in waiting.reasons(fresh(good), now=now)] == ["worker_silent"]
    assert advance(good, now)
    assert fresh(good).active_round() is not None
    for _ in range(2):
        TrainingSession.objects.filter(pk=good.pk).update(status=SessionStatus.PAUSED)
        advance(bad, now)
    assert fresh(bad).status == SessionStatus.FAILED
    assert "TypeError" in fresh(bad).reason


def test_a_round_that_cannot_be_closed_fails(open_round, now, monkeypatch):
    round_ = open_round("anna", max_retries=0)
    send("anna", now=now)
    monkeypatch.setattr(closing.late, "take", broken)
    assert [advance(round_.session, now) for _ in range(3)] == [False, False, True]
    assert Round.objects.get().status == RoundStatus.FAILED
    assert "could not close round 1" in Round.objects.get().reason


# ---- models


def test_an_initial_model_that_cannot_be_made_fails_its_session(draft, alice, now, monkeypatch):
    session = draft()
    sessions.start(session, by=alice, now=now)
    monkeypatch.setattr(models.initial.workloads, "get", broken_but(TypeError("odd")))
    for times in range(3):
        assert fresh(session).status == SessionStatus.RUNNING, times
        models.request_initial(fresh(session), then=lambda: None)
    assert fresh(session).status == SessionStatus.FAILED
    assert "could not make the initial model: TypeError: odd." in fresh(session).reason


def broken_but(error):
    def fail(*args, **kwargs):
        raise error

    return fail


def test_an_answer_of_the_evaluator_that_cannot_be_kept_is_given_up(running, now, monkeypatch):
    model = running().last_model()
    GlobalModel.objects.update(evaluated_at=None)
    with monkeypatch.context() as patched:
        patched.setattr(models.damage, "note", broken)
        for _ in range(3):
            models.evaluation._evaluated(model.pk, model.digest, {"ok": False, "damaged": True})
    model.refresh_from_db()
    assert "could not evaluate model v0: ValueError" in model.evaluation_error
    assert model.evaluated_at is not None


def test_a_model_that_the_evaluator_does_not_take_keeps_no_other_from_it(running, monkeypatch):
    running(), running(name="second")
    GlobalModel.objects.update(evaluated_at=None)
    asked = []

    def submit(key, request, done):
        asked.append(key)
        if len(asked) == 1:
            broken()

    monkeypatch.setattr(evaluator, "submit", submit)
    models.request_missing()
    assert len(asked) == 2


def test_a_job_that_could_not_be_begun_is_asked_for_again(monkeypatch):
    monkeypatch.setattr(evaluator, "_write", broken)
    for _ in range(2):
        with pytest.raises(ValueError):
            evaluator.submit("model 0", {}, lambda answer: None)
    assert "model 0" not in evaluator._pending


def test_numbers_of_an_evaluation_are_finite(running, now):
    model = running().last_model()
    GlobalModel.objects.update(evaluated_at=None)
    models.evaluation._evaluated(
        model.pk, model.digest, {"ok": True, "metrics": {"loss": math.nan, "accuracy": 0.5, "x": 1e300}}
    )
    model.refresh_from_db()
    assert model.metrics == {"accuracy": 0.5}


def test_a_model_that_cannot_be_made_again_is_lost_after_three_tries(closed, now, monkeypatch):
    session = closed().session
    settle(session, now=now)
    model = session.last_model()
    storage.path(model.digest).unlink()
    damage.note([model.digest])
    monkeypatch.setattr(repair.building, "make", broken)
    for _ in range(3):
        assert session.models.get(version=1).file_status == FileStatus.DAMAGED
        assert not repair.mend(session.pk)
    assert session.models.get(version=1).file_status == FileStatus.LOST
    assert "could not make model v1 again: ValueError" in fresh(session).reason


# ---- the tick


def test_a_part_of_the_tick_that_fails_keeps_no_other_from_being_done(running, monkeypatch):
    first, second = running(), running(name="second")
    called = []

    def delay(session_id):
        called.append(session_id)
        broken()

    monkeypatch.setattr(tasks.advance, "delay", delay)
    monkeypatch.setattr(tasks.clients, "announce_offline", broken)
    tasks.advance_all()
    assert sorted(called) == [first.pk, second.pk]


def test_an_alert_rule_that_cannot_look_keeps_no_other_from_it(open_round, now, monkeypatch):
    for kind in ("loss_diverged", "round_failed"):
        AlertRule.objects.create(kind=kind, created_at=now - timedelta(hours=1))
    open_round("anna")
    Round.objects.update(status=RoundStatus.FAILED, reason="Nobody came.", closed_at=now)
    monkeypatch.setitem(alerts.FINDERS, AlertRule.Kind.LOSS_DIVERGED, broken)
    assert alerts.evaluate(now=now) == 1
