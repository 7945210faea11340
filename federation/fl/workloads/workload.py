"""What a workload is: a network, data and loss that server and clients know by the same name."""

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from federation.fl.local_options import LocalOptions
from federation.fl.optimizers import PLAIN, Optimizer
from federation.fl.options import Option
from federation.fl.weights import Array, Weights

Phase = Literal["training", "evaluating"]
Report = Callable[[Phase, int, int, Mapping[str, float]], bool]
"""report(phase, step, total_steps, metrics) -> whether to go on. Steps count batches trained on so far.

Metrics may be NaN or infinite where training diverges.
"""


class Stopped(Exception):
    """report() answered that this work is to be dropped."""


class DataError(ValueError):
    """A client's data do not do for what is asked. str(error) is a sentence for its owner and the operators."""


@dataclass(frozen=True)
class Data:
    """Labelled examples. features: (n, ...) float32; labels: (n,) int64, or (0,) where there are none."""

    features: Array
    labels: Array
    label_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.features)

    def subset(self, indices: Array) -> "Data":
        """The examples at these positions, in this order."""
        labels = self.labels[indices] if len(self.labels) else self.labels
        return Data(self.features[indices], labels, self.label_names)

    @cached_property
    def ranks(self) -> Array:
        """(n,) numbers from 0 to 1, each of the bytes of one example's features alone. Computed once."""
        return np.array([_rank(features) for features in self.features], np.float64)

    def histogram(self) -> dict[str, int]:
        """How many examples each label has, labels without any included."""
        return {name: int((self.labels == label).sum()) for label, name in enumerate(self.label_names)}

    def fingerprint(self, salt: str) -> str:
        """16 hex digits that tell whether data are the same as before, to who knows the salt and them: of SHA-256."""
        sha = hashlib.sha256(salt.encode())
        for part in (self.features, self.labels):
            sha.update(f"{part.dtype}{part.shape}".encode())
            sha.update(np.ascontiguousarray(part).data)
        return sha.hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How to train for one round. epochs: passes over the data; batch_size: examples.

    validation_fraction: the part of the client's data (0 to below 1) that is never trained on.
    validation_samples: how many examples are not, instead. max_seconds: training ends with the first step after them.
    extra: what the strategy asks of clients; a workload ignores what it does not know.
    optimizer, local: followed by torch workloads alone. correction: what is added to each gradient, by tensor; those
    that are missing are not corrected. anchor: the model to which the proximal term holds; empty: the one that is
    trained from. frozen: names of tensors that are not trained.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    seed: int
    device: str = "cpu"
    validation_fraction: float = 0.2
    extra: Mapping[str, float] = field(default_factory=dict)
    optimizer: Optimizer = PLAIN
    local: LocalOptions = LocalOptions()
    validation_samples: int | None = None
    max_seconds: float | None = None
    correction: Mapping[str, Array] = field(default_factory=dict)
    anchor: Mapping[str, Array] = field(default_factory=dict)
    frozen: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class LocalUpdate:
    """What one round of training gave. delta: local - base, so that adding it moves towards the client.

    num_examples: examples trained on. metrics: final numbers, NaN where training diverged:
    train_loss (mean of the last epoch); val_loss and val_accuracy of the trained model and
    base_val_loss and base_val_accuracy of the received one, both on the client's own held-out
    data and absent where it has none. local_steps: of the optimizer. base_train_loss: the mean loss of the received
    model on the examples trained on, measured if config.extra asks for it. None where they are not known.
    """

    delta: Weights
    num_examples: int
    metrics: dict[str, float]
    local_steps: int | None = None
    base_train_loss: float | None = None


@dataclass(frozen=True, slots=True)
class LocalEvaluation:
    """What a client measured of a model. num_examples: held-out examples that it was measured on.

    metrics: by name of the measure, without a prefix; NaN where it is not finite. counts: lists of integers that are
    added across clients, nested up to three deep, by name. They say how many examples each label has.
    """

    num_examples: int
    metrics: dict[str, float]
    counts: dict[str, Any] = field(default_factory=dict)


class Workload(Protocol):
    """One file of this package. options may be incomplete everywhere: defaults are filled in.

    version: for people, at most 64 characters. revision: raised when the same seed and data train to other bytes.
    accepts: digests of earlier releases of this revision, which may train beside this one.

    Every method raises OptionError for options that are not allowed. Weights and bytes depend
    on (options, seed) alone, on a CPU with a fixed number of threads.
    """

    name: str
    title: str
    summary: str
    options: tuple[Option, ...]
    needs_torch: bool
    version: str
    revision: int
    accepts: tuple[str, ...]
    train_defaults: Mapping[str, float]

    def digest(self) -> str:
        """SHA-256 of the source that decides what is trained, as it was when it was imported."""

    def initial_weights(self, options: Mapping[str, Any], seed: int) -> Weights:
        """The model that a session starts from."""

    def write_initial(self, path: Path, options: Mapping[str, Any], seed: int) -> str:
        """Write the same as a file and return its digest."""

    def buffers(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        """The model's tensors that are statistics and not trained, such as a BatchNorm's running variance."""

    def training_data(self, options: Mapping[str, Any], folder: Path | None) -> Data:
        """All the training data of this site. folder: where its owner keeps data, or None."""

    def local_update(
        self, base: Weights, data: Data, options: Mapping[str, Any], config: TrainConfig, report: Report
    ) -> LocalUpdate:
        """Train from ``base`` on ``data``. Raises Stopped when ``report`` answers False."""

    def evaluate(self, weights: Weights, options: Mapping[str, Any]) -> dict[str, float]:
        """Loss and accuracy on the central test set, which no client trains on; {} where there is none."""


@runtime_checkable
class Evaluates(Protocol):
    """A workload whose models clients can measure on their own held-out data."""

    def local_evaluation(
        self, model: Weights, data: Data, options: Mapping[str, Any], config: TrainConfig, report: Report
    ) -> LocalEvaluation:
        """Measure ``model`` on the part of ``data`` that ``local_update`` never trains on. Steps are examples.

        Raises Stopped when ``report`` answers False, DataError if no example is held out.
        """


def _rank(features: Array) -> float:
    return int.from_bytes(hashlib.sha256(features.tobytes()).digest()[:6]) / 2**48


def digest_of_one(source: str, name: str) -> str:
    """The digest of one of several workloads of the same source."""
    return hashlib.sha256(f"{source} {name}".encode()).hexdigest()


def source_digest(*files: str) -> str:
    """SHA-256 over source files, line endings normalised: a checkout on Windows has the same digest."""
    sha = hashlib.sha256()
    for file in files:
        sha.update(Path(file).read_bytes().replace(b"\r\n", b"\n"))
    return sha.hexdigest()
