"""The settings of training reach the clients that follow them, and no others."""

from dataclasses import replace

import pytest

from federation.errors import Invalid, Refused
from federation.fl import workloads
from federation.fl.workloads import releases
from federation.fl.workloads.synthetic import Synthetic
from federation.lifecycle import SeatStatus
from federation.models import TrainingSession
from federation.services import sessions
from federation.session_settings import Spec
from federation.work.common_members import common_members
from tests.federation.cast import seat_of, send, settle
from tests.federation.services.test_who_is_asked import left_out, names

pytestmark = pytest.mark.django_db

ADAM = {"optimizer": "adam", "optimizer_options": {"beta1": 0.8}}
SPEC = Spec(name="one", workload="digits", rounds=4, quorum=1)


@pytest.fixture
def followed(monkeypatch):
    """The quick workload of these tests follows settings, as those with torch do."""
    monkeypatch.setattr(Synthetic, "follows_settings", True, raising=False)
    monkeypatch.setattr(releases, "PLAIN_ONLY", frozenset(OLD))


OLD = releases.ACCEPTED["synthetic"][1]


def of(digest):
    return {"workloads": {"synthetic": digest}}


def work_of(enrol, running, now, number=1, **given):
    enrol("anna", **of(workloads.get("synthetic").digest()))
    session = settle(running(**given), now=now)
    seat = session.active_round().seats.select_related("client", "round__session", "round__base_model").get()
    seat.round.number = number
    return common_members(seat)


def test_a_plain_session_is_described_as_it_always_was(followed, enrol, running, now):
    config = work_of(enrol, running, now)["config"]
    assert config.keys() == {"epochs", "batch_size", "learning_rate", "seed"}


def test_an_optimizer_and_what_differs_from_usual_is_told(followed, enrol, running, now):
    local = {"clip_norm": 1.0, "accumulate": 1}
    config = work_of(enrol, running, now, **ADAM, local_options=local)["config"]
    assert config["optimizer"] == {"name": "adam", "options": {"beta1": 0.8, "beta2": 0.999, "weight_decay": 0.0}}
    assert config["local_options"] == {"clip_norm": 1.0}


@pytest.mark.parametrize(("number", "rate"), [(1, 0.05), (2, 0.1), (3, 0.1), (4, 0.05)])
def test_each_round_has_its_learning_rate(followed, enrol, running, now, number, rate):
    step = {"rate_schedule": "step", "rate_schedule_options": {"every": 2, "warmup_rounds": 1}}
    train = {"epochs": 1, "batch_size": 8, "learning_rate": 0.1}
    config = work_of(enrol, running, now, number, train=train, **step)["config"]
    assert config["learning_rate"] == pytest.approx(rate)
    assert "optimizer" not in config  # every client follows a learning rate


def test_work_that_trains_nothing_has_the_settings_alone(followed, enrol, running, now):
    enrol("anna", **of(workloads.get("synthetic").digest()))
    session = settle(running(**ADAM, rate_schedule="cosine"), now=now)
    seat = session.active_round().seats.select_related("client", "round__session", "round__base_model").get()
    seat.round.kind, seat.round.number = "initialise", 0
    config = common_members(seat)["config"]
    assert config["learning_rate"] == session.train["learning_rate"] and "optimizer" not in config


def test_a_release_that_knows_only_sgd_is_left_out_of_other_training(followed, enrol, running, now):
    (old,) = OLD
    enrol("old", **of(old))
    enrol("new", **of(workloads.get("synthetic").digest()))
    enrol("silent")
    session = settle(running(quorum=2, **ADAM), now=now)
    assert names(session) == ["new", "silent"]
    assert left_out(session, now) == ["Not asked: old (it reported another version of the workload)."]


def test_it_takes_part_where_only_the_learning_rate_changes(followed, enrol, running, now):
    (old,) = OLD
    enrol("old", **of(old))
    session = settle(running(rate_schedule="cosine"), now=now)
    assert names(session) == ["old"]


def test_a_workload_that_follows_no_settings_has_none():
    spec = replace(SPEC, workload="synthetic", local_options={"accumulate": 2}, **ADAM)
    filled = sessions.check(spec)
    assert (filled.optimizer, filled.optimizer_options, filled.local_options) == ("sgd", _sgd(), None)
    TrainingSession.objects.all().delete()


def _sgd():
    return {"momentum": 0.0, "nesterov": False, "weight_decay": 0.0}


def test_what_is_as_usual_is_kept_as_nothing():
    usual = {"accumulate": 1, "clip_norm": None, "precision": "float32"}
    assert sessions.check(replace(SPEC, local_options=usual)).local_options is None
    assert sessions.check(replace(SPEC, local_options={"accumulate": 2})).local_options["accumulate"] == 2


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"optimizer": "lion"}, "optimizer.name", "There is no optimizer 'lion'"),
        ({"optimizer_options": {"momentum": 1.5}}, "optimizer.options.momentum", "must be a number from 0 to 0.999"),
        ({"rate_schedule": "linear"}, "rate_schedule.name", "There is no learning rate schedule 'linear'"),
        ({"rate_schedule_options": {"every": 2}}, "rate_schedule.options.every", "no option 'every'"),
        ({"local_options": {"accumulate": 0}}, "local_options.accumulate", "must be a whole number from 1"),
        (
            {"workload": "images", "workload_options": {"network": "vit_b_16", "size": 50}},
            "workload.options.size",
            "must be a multiple of 16",
        ),
        ({"local_options": {"clip_norm": "x"}}, "local_options.clip_norm", "must be a number above 0"),
    ],
)
def test_every_refusal_names_its_field(given, field, words):
    with pytest.raises(Invalid) as refused:
        sessions.check(replace(SPEC, **given))
    assert [name for name, _ in refused.value.errors] == [field]
    assert words in refused.value.errors[0][1]


# ---- strategies that change what clients do


def test_prox_sets_the_clients_proximal_term(followed, enrol, running, now):
    config = work_of(enrol, running, now, strategy="fedprox", strategy_options={"mu": 0.5})["config"]
    assert config["local_options"] == {"proximal_mu": 0.5} and config["proximal_mu"] == 0.5
    assert config["optimizer"]["name"] == "sgd"


def test_a_release_that_does_not_know_the_term_is_left_out_of_prox(followed, enrol, running, now):
    (old,) = OLD
    enrol("old", **of(old))
    enrol("new", **of(workloads.get("synthetic").digest()))
    session = settle(running(strategy="fedprox"), now=now)
    assert names(session) == ["new"]


def test_a_release_that_tells_no_steps_is_refused_at_the_door_and_named(followed, open_round, now):
    open_round("anna", strategy="fednova", rounds=1)
    with pytest.raises(Refused, match="local_steps is missing: how many steps"):
        send("anna", now=now)
    assert seat_of("anna").status == SeatStatus.INVITED  # it may send another one
    send("anna", now=now, local_steps="5")
    assert seat_of("anna").status == SeatStatus.REPORTED


@pytest.mark.parametrize("strategy, asked", [("fednova", {"local_steps": 1.0}), ("qfedavg", {"base_train_loss": 1.0})])
def test_a_strategy_asks_clients_for_the_number_that_it_needs(followed, enrol, running, now, strategy, asked):
    config = work_of(enrol, running, now, strategy=strategy)["config"]
    assert config.keys() - {"epochs", "batch_size", "learning_rate", "seed"} == asked.keys()


@pytest.mark.parametrize("strategy", ["fednova", "qfedavg"])
def test_a_workload_that_cannot_tell_the_number_is_refused(strategy):
    with pytest.raises(Invalid, match="needs a workload that tells") as refused:
        sessions.check(replace(SPEC, workload="synthetic", strategy=strategy))
    assert [field for field, _ in refused.value.errors] == ["strategy.name"]


def test_a_term_that_is_set_twice_is_refused():
    with pytest.raises(Invalid, match="FedProx sets the proximal term itself"):
        sessions.check(replace(SPEC, strategy="fedprox", local_options={"proximal_mu": 0.1}))
