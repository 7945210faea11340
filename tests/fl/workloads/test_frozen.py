"""Parameters that are not trained, and a proximal term that holds to another model than the one trained from."""

from dataclasses import replace

import numpy as np
import pytest

from federation.fl import optimizers
from federation.fl.local_options import LocalOptions
from federation.fl.workloads import WORKLOADS, TrainConfig
from federation.fl.workloads.workload import DataError

CONFIG = TrainConfig(epochs=1, batch_size=16, learning_rate=0.1, seed=3)
BODY = ("conv1.weight", "conv1.bias", "norm1.weight")


@pytest.fixture(scope="module")
def digits():
    workload = WORKLOADS["digits"]
    data = workload.training_data({}, None).subset(np.arange(80))
    return workload, workload.initial_weights({}, 1), data


def trained(digits, **changes):
    workload, base, data = digits
    return workload.local_update(base, data, {}, replace(CONFIG, **changes), lambda *_: True).delta


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_what_is_frozen_does_not_move_and_the_rest_does(digits, optimizer):
    options = {"weight_decay": 0.1}  # which would move a parameter without a gradient, too
    found = trained(digits, frozen=BODY, optimizer=optimizers.build(optimizer, options))
    for name, delta in found.items():
        assert (name in BODY) == (not delta.any()), name


def test_a_frozen_parameter_changes_what_the_others_become(digits):
    free, bound = trained(digits), trained(digits, frozen=BODY)
    assert (free["fc2.weight"] != bound["fc2.weight"]).any()


def test_a_network_of_frozen_parameters_alone_cannot_be_trained(digits):
    with pytest.raises(DataError, match="nothing is left to train"):
        trained(digits, frozen=tuple(digits[1]))


def test_the_proximal_term_holds_to_the_anchor(digits):
    """A strong hold ends at the anchor: with eta * mu = 1 a step without other gradients would reach it at once."""
    anchor = {name: array + np.float32(0.5) for name, array in digits[1].items()}
    held = trained(digits, local=LocalOptions(proximal_mu=10.0), anchor=anchor)
    usual = trained(digits, local=LocalOptions(proximal_mu=10.0))
    for name in held:
        assert np.median(held[name]) == pytest.approx(0.5, abs=0.1), name
        assert np.median(usual[name]) == pytest.approx(0.0, abs=0.1), name


def test_the_anchor_of_the_base_itself_changes_nothing(digits):
    one, other = (trained(digits, local=LocalOptions(proximal_mu=0.3), anchor=anchor) for anchor in ({}, digits[1]))
    assert {name: array.tobytes() for name, array in one.items()} == {n: a.tobytes() for n, a in other.items()}
