"""What clients measure becomes the model's numbers, chooses the best one, ends sessions and raises alerts."""

import json
from dataclasses import replace

import pytest

from federation.errors import Invalid
from federation.fl.measures import KNOWN, Direction, Measure
from federation.lifecycle import SessionStatus
from federation.models import AlertRule, Event, GlobalModel, TrainingSession
from federation.services import alerts, sessions
from federation.services.models import choosing
from federation.services.rounds.federated import MOST_MEASURES
from tests.federation.cast import last_payload, send, settle
from tests.federation.conftest import SPEC

pytestmark = pytest.mark.django_db


def told(**metrics):
    return json.dumps(metrics)


def federated(session, version=0):
    return session.models.get(version=version).federated_metrics


def test_every_measure_of_the_received_model_is_combined_by_examples(open_round, now):
    session = open_round("anna", "ben", quorum=2).session
    send("anna", now=now, num_examples="10", metrics=told(base_val_f1=0.2, base_auc=0.5, val_f1=0.9, train_loss=1.0))
    send("ben", now=now, num_examples="30", metrics=told(base_val_f1=0.8, base_val_loss=0.4))
    settle(session, now=now)
    assert federated(session) == pytest.approx({"f1": 0.65, "auc": 0.5, "loss": 0.4})


def test_own_held_out_data_count_before_the_plain_name(open_round, now):
    session = open_round("anna").session
    send("anna", now=now, metrics=told(base_f1=0.1, base_val_f1=0.7))
    settle(session, now=now)
    assert federated(session) == {"f1": 0.7}


@pytest.mark.parametrize("name", ["toString", "__proto__", "constructor", "hasOwnProperty"])
def test_the_name_of_a_measure_is_data(open_round, now, name):
    session = open_round("anna").session
    send("anna", now=now, metrics=told(**{f"base_val_{name}": 0.5}))
    settle(session, now=now)
    assert federated(session) == {name: 0.5}


def test_what_is_no_usable_number_is_left_out(open_round, now):
    session = open_round("anna").session
    send("anna", now=now, metrics=told(base_val_f1=None, base_val_auc=1e31, base_val_mae=0.5))
    settle(session, now=now)
    assert federated(session) == {"mae": 0.5}


def test_a_declared_way_of_combining_is_followed(open_round, now, monkeypatch):
    worst = Measure("worst", "Worst", Direction.MIN, combine="max")
    monkeypatch.setattr("federation.fl.measures.KNOWN", {**KNOWN, "worst": worst})
    session = open_round("anna", "ben", quorum=2).session
    send("anna", now=now, metrics=told(base_val_worst=0.2))
    send("ben", now=now, metrics=told(base_val_worst=0.9))
    settle(session, now=now)
    assert federated(session) == {"worst": 0.9}


def test_a_model_has_a_bounded_number_of_measures():
    assert MOST_MEASURES == 500


# ---- the main measure


def model(version, **metrics):
    return GlobalModel(version=version, metrics=metrics)


def test_a_session_has_the_first_measure_of_its_workload(alice, now):
    made = sessions.check(replace(SPEC, workload="digits", workload_options={}))
    assert made.main_measure == "accuracy"
    assert sessions.check(SPEC).main_measure == "", "noise is not measured"


def test_the_best_model_is_the_best_by_the_main_measure():
    models = [model(1, accuracy=0.9, loss=0.5, mae=3.0), model(2, accuracy=0.8, loss=0.2, mae=4.0)]
    found = {
        name: choosing.best(models, choosing.ordered(TrainingSession(workload="digits", main_measure=name))).version
        for name in ("", "accuracy", "loss", "mae")
    }
    assert found == {"": 1, "accuracy": 1, "loss": 2, "mae": 1}


def test_a_measure_that_a_site_declares_can_be_the_main_one():
    declaration = {"measures": [{"name": "auc", "title": "AUC", "direction": "max"}, {"name": 3}, "junk"]}
    session = TrainingSession(workload="xray", main_measure="auc", declaration=declaration)
    assert [one.name for one in choosing.declared(session)] == ["auc"]
    best = choosing.best([model(1, auc=0.9), model(2, auc=0.7)], choosing.ordered(session))
    assert best is not None and best.version == 1


@pytest.mark.parametrize("change", [{"main_measure": "charm"}, {"early_stop": {"patience": 3}}])
def test_what_says_nothing_about_better_is_no_main_measure(alice, now, change):
    with pytest.raises(Invalid) as refused:
        sessions.create(replace(SPEC, **change), by=alice, now=now)
    assert [name for name, _ in refused.value.errors] == ["main_measure"]


# ---- early stop


def train(session, scores, now):
    for score in scores:
        send("anna", now=now, metrics=told(base_val_accuracy=score))
        settle(session, now=now)
    return session


def test_a_session_stops_when_it_no_longer_gets_better(open_round, now):
    session = open_round("anna", rounds=9, main_measure="accuracy", early_stop={"patience": 2}).session
    train(session, (0.5, 0.7, 0.6), now)
    assert session.status == SessionStatus.RUNNING
    train(session, (0.7,), now)
    assert (session.status, session.last_model().version) == (SessionStatus.COMPLETED, 4)
    stop = {"measure": "accuracy", "why": "patience", "value": 0.7, "best": 0.7}
    assert last_payload(session, Event.Kind.SESSION_COMPLETED) == {"rounds": 4, "early_stop": stop}
    assert session.active_round() is None


def test_a_session_stops_at_its_target(open_round, now):
    session = open_round("anna", rounds=9, main_measure="accuracy", early_stop={"target": 0.9}).session
    assert train(session, (0.5, 0.95), now).status == SessionStatus.COMPLETED
    assert last_payload(session, Event.Kind.SESSION_COMPLETED)["early_stop"]["why"] == "target"


def test_without_the_measure_a_session_runs_to_its_end(open_round, now):
    session = open_round("anna", rounds=2, main_measure="mae", early_stop={"patience": 1}).session
    assert train(session, (0.5,), now).status == SessionStatus.RUNNING
    assert train(session, (0.5,), now).status == SessionStatus.COMPLETED
    assert last_payload(session, Event.Kind.SESSION_COMPLETED) == {"rounds": 2}


def test_a_rule_that_says_nothing_is_none():
    assert sessions.check(replace(SPEC, early_stop={"min_delta": 0.1})).early_stop is None


# ---- alerts


def test_a_main_measure_that_falls_far_is_told(open_round, now):
    session = open_round("anna", main_measure="accuracy").session
    alerts.save_rule(AlertRule(kind="loss_diverged", factor=2.0, created_at=now), by="alice")
    GlobalModel.objects.filter(session=session).update(metrics={"accuracy": 0.9})
    more = {"session": session, "digest": "a" * 64, "num_bytes": 1, "created_at": now}
    GlobalModel.objects.create(version=1, metrics={"accuracy": 0.5}, **more)
    assert alerts.evaluate(now=now) == 0
    GlobalModel.objects.create(version=2, metrics={"accuracy": 0.4}, **more)
    assert alerts.evaluate(now=now) == 1
