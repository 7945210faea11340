"""A small convolutional network that learns scikit-learn's handwritten digits: real data, nothing to download."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federation.fl.measures import scores
from federation.fl.weights import Array
from federation.fl.workloads import digit_images, releases, training
from federation.fl.workloads.training import TorchWorkload
from federation.fl.workloads.workload import Data, source_digest

if TYPE_CHECKING:
    import torch

SOURCE = source_digest(__file__, *training.SOURCES, digit_images.__file__)
MEAN, DEVIATION = 0.305, 0.376  # of all pixels; fixed, so that every site scales alike


class Digits(TorchWorkload):
    """Two convolutions with group normalization, which unlike batch normalization has no state to average."""

    name = "digits"
    title = "Handwritten digits"
    summary = "1,797 real images of 8 × 8, ten classes, and a small convolutional network; runs anywhere."
    accepts = releases.accepted(name, TorchWorkload.revision)
    train_defaults: Mapping[str, float] = {"epochs": 4, "batch_size": 8, "learning_rate": 0.03}

    def digest(self) -> str:
        return SOURCE

    def training_data(self, options: Mapping[str, Any], folder: Path | None) -> Data:
        self.checked(options)
        return digit_images.load("train")

    def test_data(self, options: Mapping[str, Any]) -> Data:
        return digit_images.load("test")

    def network(self) -> torch.nn.Module:
        return _network()

    def losses(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs, labels, reduction="none")

    def predictions(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs.argmax(dim=1)

    def odds(self, outputs: Array) -> Array:
        return scores.of_softmax(outputs)


def _network() -> torch.nn.Module:
    """(n, 1, 8, 8) pixels from 0 to 1 -> (n, 10) logits; 151,000 parameters."""
    from torch import nn
    from torch.nn.functional import max_pool2d, relu

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
            self.norm1 = nn.GroupNorm(8, 32)
            self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
            self.norm2 = nn.GroupNorm(8, 64)
            self.fc1 = nn.Linear(64 * 4 * 4, 128)
            self.fc2 = nn.Linear(128, 10)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            x = relu(self.norm1(self.conv1((pixels - MEAN) / DEVIATION)))
            x = max_pool2d(relu(self.norm2(self.conv2(x))), 2)
            logits: torch.Tensor = self.fc2(relu(self.fc1(x.flatten(1))))
            return logits

    return Network()
