"""Evaluation sessions: some sites measure one stored model, once."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from federation import storage, work
from federation.errors import Conflict, Invalid
from federation.lifecycle import FileStatus, Origin, Outcome, RoundStatus, SessionStatus, WorkKind
from federation.models import Client, GlobalModel, TrainingSession
from federation.services import retention, rounds, seats, sessions
from federation.services.rounds.federated import MOST_MEASURES
from federation.services.rounds.numbers import attach
from federation.services.sessions import Evaluation
from tests.federation.cast import kinds, send, settle
from tests.federation.services.evaluating import declare, idle, measure, take, train

pytestmark = pytest.mark.django_db
BOTH = ["train", "evaluate"]


@pytest.fixture
def model(enrol, running, now) -> GlobalModel:
    """Version 1 of a completed session of anna, ben and carl, of whom anna and ben evaluate."""
    enrol("carl")
    session = train(declare(running(rounds=1)), "carl", now=now)
    enrol("anna", "ben", kinds=BOTH)
    return session.models.get(version=1)


@pytest.fixture
def evaluate(model: GlobalModel, alice: User, now):
    def evaluate(*names: str) -> TrainingSession:
        chosen = list(Client.objects.filter(name__in=names))
        return settle(sessions.evaluate(model, chosen, by=alice, now=now), now=now)

    return evaluate


def test_it_asks_those_that_evaluate_for_one_version(evaluate, model, now):
    session = evaluate()
    assert (session.kind, session.status, session.rounds) == (WorkKind.EVALUATE, SessionStatus.RUNNING, 1)
    only = session.models.get()
    assert (only.version, only.digest, only.parent, only.origin) == (0, model.digest, model, Origin.ADOPTED)
    told = work.describe(take("anna", now))
    assert (told["kind"], told["round"], told["base_model"]["digest"]) == ("evaluate", 1, model.digest)
    assert told["workload"]["name"] == model.session.workload
    assert take("ben", now) and idle("carl", now)


def test_the_work_names_the_update_that_counted_last_where_the_model_was_made(model, evaluate, now):
    evaluate("anna")
    assert work.describe(take("anna", now))["last_update"] is None, "anna trained nothing"
    own = model.session.round_set.get(kind=WorkKind.TRAIN).seats.get(client__name="carl")
    Client.objects.filter(name="carl").update(kinds=BOTH)
    evaluate("carl")
    assert work.describe(take("carl", now))["last_update"] == {"participation": str(own.pk), "digest": own.digest}


def test_it_completes_with_what_its_sites_found_and_never_says_skipped(evaluate, model, now):
    session = evaluate()
    measure("anna", now, num_examples=1, accuracy=1.0)
    measure("ben", now, num_examples=3, accuracy=0.0)
    assert settle(session, now=now).status == SessionStatus.COMPLETED
    done = session.last_round()
    assert (done.outcome, done.metrics) == (Outcome.NUMBERS, {"accuracy": 0.25})
    assert kinds(session) == [
        *("session.created", "model.published", "session.started", "evaluation.opened"),
        *("result.received", "result.received", "evaluation.completed", "session.completed"),
    ]
    model.refresh_from_db()
    assert model.federated_metrics == {"accuracy": 0.25}
    assert model.session.round_set.count() == 1  # the training's own rounds stay as they were


def test_only_chosen_sites_are_asked(evaluate, now):
    session = evaluate("ben")
    assert [seat.client.name for seat in session.last_round().seats.all()] == ["ben"]
    assert idle("anna", now)


def test_it_waits_for_a_chosen_site_that_is_away(model, alice, now):
    Client.objects.filter(name="ben").update(last_seen=None)
    session = sessions.evaluate(model, [Client.objects.get(name="ben")], by=alice, now=now)
    assert settle(session, now=now).last_round() is None
    Client.objects.filter(name="ben").update(last_seen=now)
    assert settle(session, now=now).last_round().status == RoundStatus.COLLECTING


def test_it_fails_where_nobody_reports(evaluate, now):
    session = evaluate()
    for name in ("anna", "ben"):
        seats.fail(take(name, now), reason="no data")
    session = settle(session, now=now)
    assert session.status == SessionStatus.FAILED
    assert session.reason.startswith("Evaluation 1 failed: ")
    assert kinds(session)[-2:] == ["evaluation.failed", "session.failed"]
    assert session.last_round().outcome == Outcome.NOTHING


def test_it_runs_again_but_trains_no_further(evaluate, alice, now):
    session = evaluate("ben")
    measure("ben", now, accuracy=1.0)
    settle(session, now=now)
    again = sessions.again(session, by=alice, now=now)
    assert (again.kind, again.client_ids) == (WorkKind.EVALUATE, session.client_ids)
    assert again.models.get().digest == session.models.get().digest
    with pytest.raises(Conflict, match="cannot train further"):
        sessions.go_on(session, rounds_=1, by=alice, now=now)
    with pytest.raises(Conflict, match="cannot train further"):
        sessions.add_rounds(again, 1, by=alice)


# ---- results stay with the model


def test_a_later_publish_keeps_what_an_evaluation_found(enrol, running, alice, now):
    enrol("anna", kinds=BOTH)
    session = train(declare(running(rounds=2)), "anna", now=now)
    base = session.models.get(version=1)
    attach(base.digest, {"accuracy": 0.5, "seen": [1, 2]})
    take("anna", now)
    send("anna", now=now, metrics='{"base_val_accuracy": 0.9, "base_val_loss": 0.3}')
    settle(session, now=now)
    base.refresh_from_db()
    assert base.federated_metrics == {"accuracy": 0.5, "loss": 0.3}


def test_the_first_number_of_a_measure_stays(model):
    attach(model.digest, {"accuracy": 0.5})
    attach(model.digest, {"accuracy": 0.9, "loss": 1.0})
    model.refresh_from_db()
    assert model.federated_metrics == {"accuracy": 0.5, "loss": 1.0}


def test_every_model_of_the_digest_gets_them(evaluate, model, now):
    session = evaluate("ben")
    measure("ben", now, accuracy=1.0)
    settle(session, now=now)
    assert [one.federated_metrics for one in GlobalModel.objects.filter(digest=model.digest)] == [{"accuracy": 1.0}] * 2


def test_a_model_gets_a_bounded_number_of_names_and_declared_ones_first(model):
    for n in range(4):
        attach(model.digest, {f"flood-{n}-{name}": 1.0 for name in range(300)})
    model.refresh_from_db()
    assert len(model.federated_metrics) == MOST_MEASURES
    assert {f"flood-0-{name}" for name in range(300)} <= model.federated_metrics.keys(), "the first ones stay"
    attach(model.digest, {"accuracy": 0.5, "z-late": 1.0})
    model.refresh_from_db()
    assert len(model.federated_metrics) == MOST_MEASURES
    assert model.federated_metrics["accuracy"] == 0.5 and "z-late" not in model.federated_metrics


def test_a_publish_adds_no_more_names_either(enrol, running, now):
    enrol("anna", kinds=BOTH)
    session = train(declare(running(rounds=2)), "anna", now=now)
    base = session.models.get(version=1)
    attach(base.digest, {f"flood-{name}": 1.0 for name in range(900)})
    take("anna", now)
    send("anna", now=now, metrics='{"base_val_accuracy": 0.9, "base_val_z": 0.3}')
    settle(session, now=now)
    base.refresh_from_db()
    assert len(base.federated_metrics) == MOST_MEASURES
    assert base.federated_metrics["accuracy"] == 0.9 and "z" not in base.federated_metrics


def test_the_tenth_evaluation_reads_no_more_models_than_the_second(evaluate, model, monkeypatch, now):
    read: list[int] = []
    from_db = GlobalModel.from_db.__func__

    def counted(cls, *args):
        read.append(1)
        return from_db(cls, *args)

    def once() -> tuple[int, int]:
        read.clear()
        session = evaluate("ben")
        begun = len(read)
        read.clear()
        measure("ben", now, accuracy=1.0)
        settle(session, now=now)
        assert session.last_model().federated_metrics == {"accuracy": 1.0}
        return begun, len(read)

    monkeypatch.setattr(GlobalModel, "from_db", classmethod(counted))
    found = [once() for _ in range(10)]
    assert found[9] == found[1]
    assert GlobalModel.objects.filter(digest=model.digest).count() == 11


# ---- what is refused


def problems(alice: User, now, **wish) -> dict[str, str]:
    with pytest.raises(Invalid) as refusal:
        sessions.create_evaluation(Evaluation(**wish), by=alice, now=now)
    return dict(refusal.value.errors)


def test_a_model_that_is_not_there_is_refused(alice, now):
    assert problems(alice, now, digest="0" * 64) == {
        "initial_model": "There is no model with the digest 000000000000…."
    }


def test_a_model_whose_file_is_gone_is_refused(model, alice, now):
    GlobalModel.objects.filter(digest=model.digest).update(file_status=FileStatus.REMOVED)
    assert "is removed" in problems(alice, now, digest=model.digest)["initial_model"]


def test_clients_that_cannot_are_refused(model, alice, now):
    carl = Client.objects.get(name="carl")
    found = problems(alice, now, digest=model.digest, client_ids=[carl.pk])
    assert found == {"client_ids": "The agent of carl does not evaluate. Choose another client."}
    assert (
        problems(alice, now, digest=model.digest, client_ids=[10**9])["client_ids"] == "There is no client 1000000000."
    )


def test_times_and_names_have_limits(model, alice, now):
    found = problems(alice, now, digest=model.digest, round_seconds=0, name="x" * 101)
    assert found.keys() == {"round_seconds", "name"}


# ---- files


def test_the_model_is_kept_while_it_is_measured_and_not_for_ever(evaluate, model, now):
    session = evaluate("ben")
    GlobalModel.objects.filter(pk=model.pk).update(file_status=FileStatus.REMOVED)
    retention.expire(TrainingSession.objects.all())
    assert storage.exists(model.digest)
    measure("ben", now, accuracy=1.0)
    settle(session, now=now)
    retention.expire(TrainingSession.objects.all())
    assert not storage.exists(model.digest)
    assert session.models.get().file_status == FileStatus.REMOVED


def test_two_evaluations_that_are_over_do_not_keep_it_for_each_other(evaluate, model, now):
    for _ in range(2):
        session = evaluate("ben")
        measure("ben", now, accuracy=1.0)
        settle(session, now=now)
    GlobalModel.objects.filter(pk=model.pk).update(file_status=FileStatus.REMOVED)
    retention.expire(TrainingSession.objects.all())
    assert not storage.exists(model.digest)


def test_a_model_that_others_need_stays(evaluate, model, now):
    session = evaluate("ben")
    measure("ben", now, accuracy=1.0)
    settle(session, now=now)
    retention.expire(TrainingSession.objects.all())
    assert storage.exists(model.digest)
    assert session.models.get().file_status == FileStatus.STORED


def test_an_evaluation_takes_its_turn_with_trainings(evaluate, enrol, running, now):
    """The clients of an evaluation are busy for a training that opens meanwhile."""
    session = evaluate("ben")
    other = settle(running(quorum=1), now=now)
    asked = {seat.client.name for seat in other.active_round().seats.all()} if other.active_round() else set()
    assert "ben" not in asked
    measure("ben", now, accuracy=1.0)
    assert settle(session, now=now).status == SessionStatus.COMPLETED
    assert rounds.next_try(session) == (2, 1)
