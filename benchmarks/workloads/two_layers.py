"""A network with two hidden layers, on noise with ten classes: for speed, which depends on sizes alone."""

import numpy as np
from torch import nn

from federation.fl.options import Option
from federation.fl.workloads.own import OwnWorkload
from federation.fl.workloads.workload import Data

INPUTS, HIDDEN, CLASSES = 784, 200, 10


class TwoLayers(OwnWorkload):
    """The multilayer perceptron of McMahan et al. 2017 (arXiv:1602.05629), 784-200-200-10: 199,210 parameters."""

    name = "two-layers"
    title = "Two layers"
    version = "1"
    options = (Option("examples", int, 60_000, 100, 1_000_000, help="Of all clients together."),)
    train_defaults = {"epochs": 5, "batch_size": 10, "learning_rate": 0.05}

    def model(self, options):
        first, second, last = nn.Linear(INPUTS, HIDDEN), nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, CLASSES)
        return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), last)

    def data(self, options, folder):
        rng = np.random.default_rng(1)
        labels = rng.integers(0, CLASSES, options["examples"])
        features = rng.standard_normal((len(labels), INPUTS), dtype=np.float32)
        features[np.arange(len(labels)), labels] += 3
        return Data(features, labels, tuple(map(str, range(CLASSES))))

    def loss(self, outputs, labels):
        return nn.functional.cross_entropy(outputs, labels, reduction="none")


WORKLOAD = TwoLayers
