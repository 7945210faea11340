import pytest

from federation import storage
from federation.fl import workloads
from federation.lifecycle import SessionStatus
from federation.models import GlobalModel
from federation.services import models, sessions
from tests.federation.cast import SIZE, kinds


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
