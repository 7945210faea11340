import json

import pytest
from django.utils import timezone

from federation import storage
from federation.api import rows
from federation.fl import evaluation, workloads
from federation.fl.workloads.synthetic import Synthetic
from federation.lifecycle import SessionStatus
from federation.models import Alert, AlertRule, Event, GlobalModel
from federation.services import alerts, models, sessions
from tests.federation.cast import SIZE, kinds, last_payload, settle


@pytest.fixture
def started(draft, alice, now):
    """A session that runs and waits for its initial model."""
    session = draft()
    sessions.start(session, by=alice, now=now)
    return session


@pytest.fixture
def child(monkeypatch):
    """What the evaluator's process would do is done in this one, at once, for a workload that leaves all to it."""

    def submit(key, request, done):
        done(evaluation.answer(json.dumps(request | {"id": key})))

    monkeypatch.setattr(Synthetic, "needs_torch", True)
    monkeypatch.setattr(models.evaluation.evaluator, "submit", submit)


def test_the_initial_model_depends_on_workload_options_and_seed_alone(running):
    first, same, other = running(), running(name="second"), running(name="third", seed=2)
    digests = [session.last_model().digest for session in (first, same, other)]
    assert digests[0] == digests[1] != digests[2]
    expected = workloads.get("synthetic").initial_weights({"num_parameters": SIZE}, 1)["weight"].tobytes()
    assert storage.path(digests[0]).read_bytes().endswith(expected)


def test_it_is_told_when_the_initial_model_is_there(running):
    session = running()
    assert kinds(session) == ["session.created", "session.started", "model.published"]


def test_asked_twice_the_initial_model_is_made_once(running):
    session = running()
    models.request_initial(session, then=lambda: pytest.fail("it was there"))
    file = storage.scratch_path()
    digest = workloads.get("synthetic").write_initial(file, session.workload_options, session.seed)
    models.publish_initial(session.pk, file, digest, now=session.created_at)
    assert GlobalModel.objects.count() == 1


def test_a_draft_has_no_model_until_it_is_started(draft):
    session = draft()
    models.request_initial(session, then=lambda: pytest.fail("nothing is due"))
    assert not session.models.exists()


def test_the_initial_model_of_a_session_that_was_deleted_meanwhile_is_nobodys(draft, now):
    session = draft()
    pk = session.pk
    sessions.delete(session)
    models.publish_initial(pk, storage.scratch_path(), "0" * 64, now=now)
    assert not GlobalModel.objects.exists()


def test_a_session_whose_initial_model_cannot_be_made_fails_with_the_reason(draft, alice, now):
    session = draft()
    sessions.start(session, by=alice, now=now)
    models.fail_initial(session.pk, "The initial model could not be made: no memory.", now=now)
    session.refresh_from_db()
    assert (session.status, session.reason) == (SessionStatus.FAILED, "The initial model could not be made: no memory.")
    assert kinds(session)[-1] == "session.failed"


def test_a_session_with_a_model_does_not_fail_for_want_of_one(running, now):
    session = running()
    models.fail_initial(session.pk, "too late", now=now)
    session.refresh_from_db()
    assert session.status == SessionStatus.RUNNING


def test_an_evaluation_is_kept_and_told_once(running, now):
    session = running()
    GlobalModel.objects.update(evaluated_at=None)
    model = session.last_model()
    models.record_evaluation(model.pk, {"accuracy": 0.5}, now=now)
    models.record_evaluation(model.pk, {"accuracy": 0.9}, now=now)
    model.refresh_from_db()
    assert model.metrics == {"accuracy": 0.5}
    assert kinds(session).count("model.evaluated") == 1


def test_a_workload_without_a_test_set_is_not_evaluated(running):
    assert running().last_model().evaluated_at is not None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e300])
def test_an_evaluation_that_is_no_number_is_loud(open_round, now, child, monkeypatch, value):
    alerts.save_rule(AlertRule(kind="loss_diverged"), by="alice")
    monkeypatch.setattr(Synthetic, "evaluate", lambda *_: {"loss": value, "accuracy": 0.1})
    session = open_round("anna").session
    GlobalModel.objects.update(evaluated_at=None)
    models.request_missing(session.pk)
    why = "The test set gave no usable number for loss: the model has diverged."
    row = rows.model(session.last_model())
    assert row["evaluation_error"] == why and row["metrics"] == {"accuracy": 0.1}
    assert last_payload(session, Event.Kind.MODEL_EVALUATED)["error"] == why
    assert alerts.evaluate(now=timezone.now()) == 1
    assert alerts.evaluate(now=timezone.now()) == 0
    assert Alert.objects.get().sentence == f"v0 of first could not be evaluated. {why}"


def test_a_model_that_cannot_be_evaluated_is_told_and_the_session_goes_on(open_round, now, child, monkeypatch, caplog):
    def broken(*_):
        raise MemoryError("no room for the test set")

    monkeypatch.setattr(Synthetic, "evaluate", broken)
    session = open_round("anna").session
    GlobalModel.objects.update(evaluated_at=None)
    for _ in range(2):  # it is not tried again
        models.request_missing(session.pk)
    model = session.last_model()
    assert model.evaluation_error == "MemoryError: no room for the test set" and model.metrics == {}
    assert f"model {model.pk} could not be evaluated: MemoryError" in caplog.text
    assert kinds(session).count("model.evaluated") == 1
    assert last_payload(session, Event.Kind.MODEL_EVALUATED)["error"] == model.evaluation_error
    assert settle(session, now=now).status == SessionStatus.RUNNING and session.active_round()


def test_an_initial_model_for_which_the_room_ran_out_is_made_later(started, no_room, settings, caplog):
    with no_room():
        models.request_initial(started, then=lambda: None)
    assert f"the initial model of session {started.pk} waits: the disk is full" in caplog.text
    started.refresh_from_db()
    assert (started.status, started.last_model()) == (SessionStatus.RUNNING, None)
    assert list(settings.FL_SCRATCH_DIR.iterdir()) == []
    models.request_initial(started, then=lambda: None)
    assert started.last_model().version == 0


@pytest.mark.parametrize("is_full", [True, False])
def test_the_evaluators_failure_is_waited_out_on_a_full_disk_and_fails_the_session_otherwise(
    started, no_room, child, monkeypatch, settings, caplog, is_full
):
    told = []
    with no_room(), monkeypatch.context() as full:

        def fills_up(*given, write_initial=Synthetic.write_initial):
            full.setattr(storage.room, "SPARE_BYTES", 1 << 60 if is_full else 1)
            return write_initial(*given)

        full.setattr(Synthetic, "write_initial", fills_up)
        models.request_initial(started, then=lambda: told.append("then"))
    started.refresh_from_db()
    assert told == ["then"] and started.last_model() is None and list(settings.FL_SCRATCH_DIR.iterdir()) == []
    if is_full:
        assert started.status == SessionStatus.RUNNING
        assert f"the initial model of session {started.pk} waits: the disk is full" in caplog.text
        models.request_initial(started, then=lambda: None)
        assert started.last_model().version == 0
    else:
        assert started.status == SessionStatus.FAILED
        assert "The initial model could not be made: OSError: [Errno 28] No space left" in started.reason
