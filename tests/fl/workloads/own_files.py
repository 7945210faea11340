"""Workloads in files of their own, as a site or a server has them."""

from pathlib import Path

LINES = '''
from torch import nn

import numpy as np

from federation.fl.measures import Direction, Measure
from federation.fl.options import Option
from federation.fl.workloads.own import OwnWorkload
from federation.fl.workloads.workload import Data


class Lines(OwnWorkload):
    """y = 2 x - 1 with noise."""

    name = "{name}"
    title = "Lines"
    version = "1.1"
    options = (Option("width", int, 4, 1, 64, help="Units of the hidden layer."),)
    measures = (Measure("mae", "Mean absolute error", Direction.MIN), Measure("loss", "Loss", Direction.MIN))
    train_defaults = {{"epochs": 2, "batch_size": 16, "learning_rate": 0.05}}

    def model(self, options):
        return nn.Sequential(nn.Linear(1, options["width"]), nn.Tanh(), nn.Linear(options["width"], 1))

    def data(self, options, folder):
        x = np.random.default_rng(7).uniform(-1, 1, (200, 1)).astype(np.float32)
        return Data(x, 2 * x[:, 0] - 1, ())

    def loss(self, outputs, labels):
        return nn.functional.mse_loss(outputs[:, 0], labels, reduction="none")

    def measure(self, outputs, labels):
        return {{"mae": (outputs[:, 0] - labels).abs().mean()}}

    def test(self, options):
        return self.data(options, None){test}


WORKLOAD = Lines
'''

NUMPY = '''
"""A workload without torch: a mean."""

import numpy as np

from federation.fl.workloads.synthetic import Synthetic


class Means(Synthetic):
    name = "{name}"
    version = "{version}"


WORKLOAD = Means()
'''


def write_lines(folder: Path, name: str = "lines", file: str = "lines.py", *, test: bool = True) -> Path:
    """A torch workload with an option, a measure of its own and a test set."""
    path = folder / file
    path.write_text(LINES.format(name=name, test="" if test else " and None"))
    return path


def write_numpy(folder: Path, name: str = "means", file: str = "means.py", version: str = "1") -> Path:
    """A workload of NumPy alone, which is quick to load."""
    path = folder / file
    path.write_text(NUMPY.format(name=name, version=version))
    return path
