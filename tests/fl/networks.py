"""Workloads for tests: small networks with what the built-in ones have none of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from federation.fl.workloads.training import TorchWorkload
from federation.fl.workloads.workload import Data

if TYPE_CHECKING:
    import torch


class Small(TorchWorkload):
    """Tells apart two clouds of points with whatever network is given."""

    name = "small"
    title = "Small"
    summary = "Two clouds of points."
    train_defaults: Mapping[str, float] = {"epochs": 1, "batch_size": 8, "learning_rate": 0.1}

    def __init__(self, network: Callable[[], torch.nn.Module], num_examples: int = 24) -> None:
        self._network, self._num_examples = network, num_examples

    def digest(self) -> str:
        return "5" * 64

    def training_data(self, options: Mapping[str, Any], folder: Path | None) -> Data:
        return points(self._num_examples, seed=1)

    def test_data(self, options: Mapping[str, Any]) -> Data:
        return points(64, seed=2)

    def network(self) -> torch.nn.Module:
        return self._network()

    def losses(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs.float(), labels, reduction="none")

    def predictions(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs.argmax(dim=1)


def points(count: int, *, seed: int) -> Data:
    """Points of four coordinates around +1 and -1."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    features = rng.standard_normal((count, 4)) + np.where(labels, 1.0, -1.0)[:, np.newaxis]
    return Data(features.astype(np.float32), labels.astype(np.int64), ("low", "high"))


def every_type() -> torch.nn.Module:
    """A layer of each float type, and a buffer of each integer type that counts calls."""
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
                self.register_parameter(f"weight_{_word(dtype)}", torch.nn.Parameter((torch.randn(4, 2) / 4).to(dtype)))
            for dtype in (torch.int64, torch.int32, torch.int8):
                self.register_buffer(f"count_{_word(dtype)}", torch.tensor([3, -2]).to(dtype))
            self.register_buffer("unsaved", torch.zeros(1), persistent=False)

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            if self.training:
                for count in (self.count_int64, self.count_int32, self.count_int8):
                    count.add_(1)
            return sum(features @ weight.float() for weight in self.parameters())

    return Network()


def _word(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def batch_norm() -> torch.nn.Module:
    from torch import nn

    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))


def batch_norm_without_statistics() -> torch.nn.Module:
    from torch import nn

    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6, track_running_stats=False), nn.ReLU(), nn.Linear(6, 2))


def linear() -> torch.nn.Module:
    from torch import nn

    return nn.Linear(4, 2)


def drawing() -> torch.nn.Module:
    """A network that draws while it trains, and one tensor that is in no state_dict."""
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(4, 2))
            self.register_buffer("signs", torch.randn(4).sign(), persistent=False)

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return self.inner(features * self.signs)

    return Network()
