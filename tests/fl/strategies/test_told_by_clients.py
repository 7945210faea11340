"""Strategies that need a number of each client beside its tensors, and FedProx, which asks for a term in the loss."""

import numpy as np
import pytest

from federation.fl.aggregation import AggregationError
from federation.fl.strategies import Launch, build
from tests.fl.strategies.playing import Rounds, noise


def game(folder, strategy, *updates, told, examples=None, **options):
    size = len(updates[0])
    played = Rounds(folder, strategy, options).begin({"w": np.zeros(size, np.float64)})
    metadata = [{name: str(value) for name, value in one.items()} for one in told]
    played.play([{"w": np.float64(update)} for update in updates], examples, metadata)
    return played.arrays["w"]


def test_nova_averages_steps_and_follows_them_as_many_times_as_clients_stepped(tmp_path):
    # By step 2 and 1; their mean by examples 1.25, times the 6 * 0.25 + 2 * 0.75 steps of the mean client.
    new = game(tmp_path, "fednova", [12.0], [2.0], told=[{"local_steps": 6}, {"local_steps": 2}], examples=[1, 3])
    assert new.tolist() == [3.75]


def test_nova_is_fedavg_where_all_step_as_often(tmp_path):
    updates, examples = [{"w": noise(seed, 50)} for seed in (1, 2, 3)], [3, 50, 7]
    found = []
    for strategy in ("fednova", "fedavg"):
        played = Rounds(tmp_path, strategy).begin({"w": noise(0, 50)})
        played.play(updates, examples)
        found.append(played.arrays["w"])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def test_fairness_by_hand(tmp_path):
    # L = 2, q = 1. h = ||2 delta||^2 + 2 F: 4 + 2 and 16 + 8, together 30. The step: (1 * 2 * 1, 4 * 2 * 2) / 30.
    told = [{"base_train_loss": 1}, {"base_train_loss": 4}]
    new = game(tmp_path, "qfedavg", [1.0, 0.0], [0.0, 2.0], told=told, q=1, local_lr=0.5)
    np.testing.assert_allclose(new, [2 / 30, 16 / 30])


def test_no_fairness_is_the_plain_mean(tmp_path):
    told = [{"base_train_loss": 1}, {"base_train_loss": 100}]
    new = game(tmp_path, "qfedavg", [1.0, 0.0], [0.0, 2.0], told=told, examples=[1, 999], q=0)
    np.testing.assert_allclose(new, [0.5, 1.0])


@pytest.mark.parametrize("q", [0.1, 1.0, 20.0])
@pytest.mark.parametrize("losses", [(0.0, 0.0), (1e30, 1e30), (1e30, 0.0), (0.0, 1.0)])
def test_no_loss_makes_the_model_infinite(tmp_path, q, losses):
    told = [{"base_train_loss": loss} for loss in losses]
    new = game(tmp_path, "qfedavg", [1.0], [1.0], told=told, q=q)
    assert 0 <= new[0] <= 1


@pytest.mark.parametrize("strategy, name", [("fednova", "local_steps"), ("qfedavg", "base_train_loss")])
@pytest.mark.parametrize("value", [None, "many", "nan", "-1"])
def test_an_update_without_the_number_cannot_be_aggregated(tmp_path, strategy, name, value):
    bad = {} if value is None else {name: value}
    with pytest.raises(AggregationError, match=f"needs {name} of every client: 1 did not tell"):
        game(tmp_path, strategy, [1.0], [1.0], told=[{name: "2"}, bad])


FITS = Launch(quorum=1)
REFUSED = [
    ("fednova", Launch(1, follows_settings=False), "strategy.name"),
    ("fednova", Launch(1, optimizer="adam"), "strategy.name"),
    ("fednova", Launch(1, optimizer_options={"momentum": 0.9}), "strategy.name"),
    ("fednova", Launch(1, proximal_mu=0.1), "strategy.name"),
    ("qfedavg", Launch(1, follows_settings=False), "strategy.name"),
    ("fedprox", Launch(1, proximal_mu=0.1), "local_options.proximal_mu"),
]


@pytest.mark.parametrize("strategy, launch, field", REFUSED)
def test_what_does_not_fit_is_refused_at_launch(strategy, launch, field):
    assert build(strategy, {}).misfit(launch).field == field
    assert build(strategy, {}).misfit(FITS) is None


def test_prox_tells_clients_its_term():
    prox = build("fedprox", {"mu": 0.01})
    assert prox.local_options() == prox.client_config() == {"proximal_mu": 0.01}
