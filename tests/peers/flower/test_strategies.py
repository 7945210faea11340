"""Our strategies beside flwr's own, on random updates over several rounds."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.fl.strategies.playing import Rounds

with warnings.catch_warnings():  # of what it imports
    warnings.simplefilter("ignore")
    from flwr.common import Code, FitRes, Parameters, Status, ndarrays_to_parameters, parameters_to_ndarrays
    from flwr.server import strategy as flower

EXAMPLES = [3, 700, 20, 9]
SHAPES = {"a": (40, 3), "b": (7,)}
ROUNDS = 5
FIRST = {name: np.random.default_rng(n).standard_normal(shape) for n, (name, shape) in enumerate(SHAPES.items())}

Make = Callable[[Parameters], Any]
PAIRS: list[tuple[str, dict[str, Any], Make]] = [
    ("fedavg", {}, lambda first: flower.FedAvg(initial_parameters=first)),
    ("fedprox", {}, lambda first: flower.FedProx(initial_parameters=first, proximal_mu=0.1)),
    ("fedmedian", {}, lambda first: flower.FedMedian(initial_parameters=first)),
    (
        "fedavgm",
        {"server_lr": 0.7, "momentum": 0.8},
        lambda first: flower.FedAvgM(initial_parameters=first, server_learning_rate=0.7, server_momentum=0.8),
    ),
    (
        "fedadagrad",
        {"server_lr": 0.1, "tau": 1e-2},
        lambda first: flower.FedAdagrad(initial_parameters=first, eta=0.1, tau=1e-2),
    ),
    (
        "fedyogi",
        {"server_lr": 0.1, "beta_1": 0.8, "beta_2": 0.95, "tau": 1e-2},
        lambda first: flower.FedYogi(initial_parameters=first, eta=0.1, beta_1=0.8, beta_2=0.95, tau=1e-2),
    ),
]


def updates(number: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(100 + number)
    return [{name: 0.1 * rng.standard_normal(shape) for name, shape in SHAPES.items()} for _ in EXAMPLES]


def of_flower(strategy: Any, number: int, model: dict[str, Any]) -> dict[str, Any]:
    """The next model: flwr gets whole weights."""
    results = [
        (None, FitRes(Status(Code.OK, ""), ndarrays_to_parameters([model[n] + d[n] for n in SHAPES]), count, {}))
        for d, count in zip(updates(number), EXAMPLES, strict=True)
    ]
    made, _ = strategy.aggregate_fit(number, results, [])
    return dict(zip(SHAPES, parameters_to_ndarrays(made), strict=True))


@pytest.mark.parametrize("name, options, make", PAIRS, ids=[name for name, _, _ in PAIRS])
def test_it_agrees_with_flwr(tmp_path: Path, name: str, options: dict[str, Any], make: Make):
    theirs = make(ndarrays_to_parameters(list(FIRST.values())))
    game, model = Rounds(tmp_path, name, options).begin(FIRST), FIRST
    for number in range(1, ROUNDS + 1):
        model = of_flower(theirs, number, model)
        game.play(updates(number), EXAMPLES)
        for tensor in SHAPES:
            np.testing.assert_allclose(game.arrays[tensor], model[tensor], rtol=1e-6, atol=1e-9)
    moved = max(float(np.abs(model[tensor] - FIRST[tensor]).max()) for tensor in SHAPES)
    assert moved > 0.01


def test_flwr_corrects_the_bias_of_adam_with_one_step_more(tmp_path: Path):
    betas = {"beta_1": 0.8, "beta_2": 0.95}
    theirs = flower.FedAdam(initial_parameters=ndarrays_to_parameters(list(FIRST.values())), eta=0.1, tau=1e-2, **betas)
    made = of_flower(theirs, 1, FIRST)

    def ours(server_lr: float, corrected: bool) -> Any:
        options = {"server_lr": server_lr, "tau": 1e-2, "bias_correction": corrected, **betas}
        game = Rounds(tmp_path, "fedadam", options).begin(FIRST)
        game.play(updates(1), EXAMPLES)
        return game.arrays

    length = math.sqrt(1 - 0.95**2) / (1 - 0.8**2)
    np.testing.assert_allclose(ours(0.1 * length, corrected=False)["a"], made["a"], rtol=1e-6)
    assert np.abs(ours(0.1, corrected=True)["a"] - made["a"]).max() > 1e-3


def test_flwr_raises_the_loss_of_the_server_to_the_power_q(tmp_path: Path):
    """Where all clients have that loss, both are the same."""
    theirs = flower.QFedAvg(
        initial_parameters=ndarrays_to_parameters(list(FIRST.values())),
        q_param=0.7,
        qffl_learning_rate=0.05,
        evaluate_fn=lambda number, model, config: (2.5, {}),
    )
    theirs.pre_weights = list(FIRST.values())
    made = of_flower(theirs, 1, FIRST)
    game = Rounds(tmp_path, "qfedavg", {"q": 0.7, "local_lr": 0.05}).begin(FIRST)
    game.play(updates(1), EXAMPLES, [{"base_train_loss": "2.5"}] * len(EXAMPLES))
    for tensor in SHAPES:
        np.testing.assert_allclose(game.arrays[tensor], made[tensor], rtol=1e-6)
