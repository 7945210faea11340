"""How a network is trained, beside torch's own optimizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest

from federation.fl import weights
from federation.fl.optimizers import sgd
from federation.fl.workloads import LocalUpdate, TrainConfig
from tests.fl.networks import Small, batch_norm, drawing, every_type, linear

if TYPE_CHECKING:
    import torch

CONFIG = TrainConfig(epochs=3, batch_size=4, learning_rate=0.3, seed=7)


def frozen() -> torch.nn.Module:
    """A layer that is trained behind one that is not, and one that no output depends on."""
    from torch import nn

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second, self.unused = nn.Linear(4, 6), nn.Linear(6, 2), nn.Linear(4, 2)
            self.first.requires_grad_(False)

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return self.second(self.first(features).relu())

    return Network()


def trained(network: Callable[[], torch.nn.Module]) -> LocalUpdate:
    workload = Small(network)
    base, data = workload.initial_weights({}, 3), workload.training_data({}, None)
    return workload.local_update(base, data, {}, CONFIG, lambda *_: True)


def with_torchs_own(parameters: Sequence[torch.nn.Parameter], rate: float) -> torch.optim.SGD:
    import torch

    return torch.optim.SGD(parameters, lr=rate)


@pytest.mark.parametrize("network", [linear, batch_norm, drawing, every_type, frozen])
def test_steps_are_those_of_torchs_optimizer_to_the_last_bit(network, monkeypatch: pytest.MonkeyPatch):
    ours = trained(network)
    monkeypatch.setattr(sgd, "_Descent", with_torchs_own)
    theirs = trained(network)
    assert weights.dump(ours.delta) == weights.dump(theirs.delta)
    assert ours.metrics == theirs.metrics and any(delta.any() for delta in ours.delta.values())
