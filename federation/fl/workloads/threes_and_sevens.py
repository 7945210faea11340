"""A linear model that tells threes from sevens: one output, a sigmoid, and the distance from the right answer as loss.

With MNIST's images where they are on disk or may be downloaded, else with scikit-learn's digits, enlarged to
MNIST's 28 x 28, so that sites with either train one model together.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from federation.fl.measures import scores
from federation.fl.options import Option
from federation.fl.weights import Array
from federation.fl.workloads import digit_images, releases, training, vision
from federation.fl.workloads.digit_images import Split
from federation.fl.workloads.training import TorchWorkload
from federation.fl.workloads.workload import Data, source_digest

if TYPE_CHECKING:
    import torch

SOURCE = source_digest(__file__, *training.SOURCES, digit_images.__file__, vision.__file__)
LABEL_NAMES = ("7", "3")  # label 1 is a three


class ThreesAndSevens(TorchWorkload):
    """p = sigmoid(w x + b) is how sure the model is of a three; the loss is 1 - p for a three and p for a seven."""

    name = "threes_and_sevens"
    title = "Threes and sevens"
    summary = "A linear model tells 3 from 7: on MNIST where it is there, else on scikit-learn's digits."
    options: tuple[Option, ...] = (
        Option("download", bool, False, help="Download MNIST (12 MB) where it is not on disk; otherwise use digits."),
    )
    accepts = releases.accepted(name, TorchWorkload.revision)
    train_defaults: Mapping[str, float] = {"epochs": 4, "batch_size": 16, "learning_rate": 0.1}

    def digest(self) -> str:
        return SOURCE

    def training_data(self, options: Mapping[str, Any], folder: Path | None) -> Data:
        return _load("train", folder, download=self.checked(options)["download"])

    def test_data(self, options: Mapping[str, Any]) -> Data:
        return _load("test", None, download=options["download"])

    def network(self) -> torch.nn.Module:
        from torch import nn

        return nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, 1))

    def losses(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        import torch

        three = outputs[:, 0].sigmoid()
        return torch.where(labels == 1, 1 - three, three)

    def predictions(self, outputs: torch.Tensor) -> torch.Tensor:
        return (outputs[:, 0] > 0).long()

    def odds(self, outputs: Array) -> Array:
        return scores.of_sigmoid(outputs[:, 0])


def data_folder() -> Path:
    """Where data sets are looked for and kept if the site names no folder."""
    project = Path(__file__).resolve().parents[3]
    return Path(os.environ.get("FL_DATA_DIR") or project / "var") / "datasets"


def _load(split: Split, folder: Path | None, *, download: bool) -> Data:
    found = vision.mnist(split, folder or data_folder(), download=download)
    if found is not None:
        images, digits = found
        return _only(images[:, np.newaxis].astype(np.float32) / 255, digits)
    small = digit_images.load(split)
    # Each pixel three times as large, in a frame of two: 8 -> 28.
    large = small.features.repeat(3, axis=2).repeat(3, axis=3)
    return _only(np.pad(large, ((0, 0), (0, 0), (2, 2), (2, 2))), small.labels)


def _only(images: Array, digits: Array) -> Data:
    """The threes and sevens of these: (n, 1, 28, 28) float32 from 0 to 1."""
    wanted = np.flatnonzero((digits == 3) | (digits == 7))
    return Data(images[wanted], (digits[wanted] == 3).astype(np.int64), LABEL_NAMES)
