"""How a network is trained and evaluated with torch, whatever the workload. torch is imported only inside functions."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np

from federation.fl import local_options, optimizers, weights
from federation.fl.measures import counted
from federation.fl.options import Option, check
from federation.fl.torch_arrays import to_array, to_torch
from federation.fl.weights import Array, Weights
from federation.fl.workloads import loading, stepping, workload
from federation.fl.workloads.loading import InMemory, Loader
from federation.fl.workloads.stepping import Stepper
from federation.fl.workloads.workload import Data, DataError, LocalEvaluation, LocalUpdate, Report, Stopped, TrainConfig

if TYPE_CHECKING:
    import torch


class TooFew(DataError):
    """A network cannot be measured on so few examples."""


EVALUATION_BATCH = 1024  # examples
SOURCES = (
    __file__,
    workload.__file__,
    loading.__file__,
    stepping.__file__,
    local_options.__file__,
    *optimizers.SOURCES,
)


@dataclass(frozen=True, slots=True)
class _Measured:
    """loss: the mean. accuracy: the part of the examples that is predicted right. predicted: (n,) labels.

    outputs: the network's, of all examples.
    """

    loss: float
    accuracy: float
    predicted: Array
    outputs: Array


class TorchWorkload(ABC):
    """A workload with a torch network: what it declares is filled in by the one file that inherits from this.

    Training follows all settings of a session. Weights are named as in the network's state_dict.
    """

    name: str
    title: str
    summary: str
    options: tuple[Option, ...] = ()
    needs_torch = True
    follows_settings = True
    evaluation_batch: int | None = None  # examples; None: EVALUATION_BATCH
    version = "1"
    revision = 1
    accepts: tuple[str, ...] = ()
    train_defaults: Mapping[str, float]

    @abstractmethod
    def digest(self) -> str: ...

    @abstractmethod
    def training_data(self, options: Mapping[str, Any], folder: Path | None) -> Data: ...

    @abstractmethod
    def test_data(self, options: Mapping[str, Any]) -> Data:
        """The central test set, which no client trains on."""

    @abstractmethod
    def network(self) -> torch.nn.Module:
        """A new network with weights drawn from torch's generator."""

    @abstractmethod
    def losses(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss of each example, (n,)."""

    @abstractmethod
    def predictions(self, outputs: torch.Tensor) -> torch.Tensor:
        """The label that is predicted for each example, (n,) int64."""

    def odds(self, outputs: Array) -> Array | None:
        """The log-odds of each class, (n, classes), of which ROC and calibration are made; None: they are not.

        outputs: the network's, of all held-out examples.
        """
        return None

    def loader(self, data: Data, device: str) -> Loader:
        """What hands out batches of the data."""
        return InMemory(data, device)

    def to_measure(
        self, network: torch.nn.Module, data: Data, device: str
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """All examples in their order, in batches that fit the network."""
        sizes = _evaluation_sizes(
            len(data), self.evaluation_batch or EVALUATION_BATCH, alone=not _needs_company(network)
        )
        ends = np.cumsum(sizes)
        slices = [slice(int(end) - size, int(end)) for size, end in zip(sizes, ends, strict=True)]
        return self.loader(data, device).each(slices)

    def buffers(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        import torch

        self.checked(options)
        with torch.random.fork_rng(devices=[]):
            network = self.network()
        kept = network.state_dict().keys()
        return tuple(sorted(name for name, _ in network.named_buffers(remove_duplicate=False) if name in kept))

    def checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return check(options, self.options, f"workload {self.name}")

    def initial_weights(self, options: Mapping[str, Any], seed: int) -> Weights:
        import torch

        self.checked(options)
        with torch.random.fork_rng(devices=[]):  # leaves the caller's generator as it was
            torch.manual_seed(seed)
            network = self.network()
        return _weights_of(network)

    def write_initial(self, path: Path, options: Mapping[str, Any], seed: int) -> str:
        return weights.save(path, self.initial_weights(options, seed))

    def evaluate(self, weights: Weights, options: Mapping[str, Any]) -> dict[str, float]:
        data = self.test_data(self.checked(options))
        found = self._measure(self._network_with(weights, "cpu"), data, "cpu")
        return {"loss": found.loss, "accuracy": found.accuracy}

    def local_evaluation(
        self, model: Weights, data: Data, options: Mapping[str, Any], config: TrainConfig, report: Report
    ) -> LocalEvaluation:
        """Measure loss and accuracy, and count for pictures. Reports after each batch."""
        self.checked(options)
        _, held_out = split(data, config.validation_fraction, config.validation_samples)
        total = len(held_out)
        if not total:
            raise DataError(f"There is no held-out example to evaluate on: this site has {_examples(len(data))}.")

        def measured(examples: int) -> None:
            _go_on(report("evaluating", examples, total, {}))

        found = self._measure(self._network_with(model, config.device), held_out, config.device, measured)
        odds = self.odds(found.outputs)
        counts = counted.of_classes(held_out.labels, found.predicted, odds, len(held_out.label_names))
        return LocalEvaluation(total, {"loss": found.loss, "accuracy": found.accuracy}, counts)

    def local_update(
        self, base: Weights, data: Data, options: Mapping[str, Any], config: TrainConfig, report: Report
    ) -> LocalUpdate:
        """Train for config.epochs. Reports every batch, and both models on the client's held-out examples.

        Raises DataError if there is no example to train on.
        """
        import torch

        self.checked(options)
        train, held_out = split(data, config.validation_fraction, config.validation_samples)
        if not len(train):
            raise DataError("There is no example to train on.")
        network = self._network_with(base, config.device)
        sizes = _batch_sizes(len(train), config.batch_size, alone=not _has_batch_norm(network))
        total = _steps(config, sizes)
        before = self._measure(network, train, config.device).loss if config.extra.get("base_train_loss") else None
        received = self._validate(network, held_out, config.device, "base_val_", 0, total, report)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)  # for layers that draw, such as dropout
            train_loss, steps = self._train(network, train, sizes, config, report)
        trained = self._validate(network, held_out, config.device, "val_", total, total, report)
        trained_weights = _weights_of(network)
        delta = {name: weights.difference(name, local, base[name]) for name, local in trained_weights.items()}
        metrics = {"train_loss": train_loss, **received, **trained}
        return LocalUpdate(delta, len(train), metrics, steps, before)

    def _train(
        self, network: torch.nn.Module, data: Data, sizes: list[int], config: TrainConfig, report: Report
    ) -> tuple[float, int]:
        """Run the epochs, each in batches of these sizes.

        Returns the mean loss of the last one's examples, and how many steps the optimizer made. Raises DataError where
        the settings do not fit the data.
        """
        import torch

        loader = self.loader(data, config.device)
        stepper = Stepper(network, self.losses, data, config)
        network.train()
        step, total = 0, _steps(config, sizes)
        until = monotonic() + config.max_seconds if config.max_seconds is not None else math.inf
        loss_sum, seen = 0.0, 0
        for epoch, order in enumerate(_orders(len(data), config)):
            loss_sum, seen = 0.0, 0
            batches = torch.split(order[: sum(sizes)], sizes)[: total - step]
            for features, labels in loader.each(batches, draw=(config.seed, epoch)):
                step += 1
                is_last = step == total or monotonic() > until
                loss = stepper.step(features, labels, is_last=is_last)
                loss_sum, seen = loss_sum + loss * len(labels), seen + len(labels)
                _go_on(report("training", step, total, {"train_loss": loss}))
                if is_last:
                    return loss_sum / seen, stepper.steps
        return loss_sum / seen, stepper.steps

    def _validate(
        self, network: torch.nn.Module, data: Data, device: str, prefix: str, step: int, total: int, report: Report
    ) -> dict[str, float]:
        """Both measures of the examples; none where there is no example, or one that cannot be measured alone."""
        if not len(data):
            return {}
        try:
            found = self._measure(network, data, device)
        except TooFew:
            return {}
        metrics = {f"{prefix}loss": found.loss, f"{prefix}accuracy": found.accuracy}
        _go_on(report("evaluating", step, total, metrics))
        return metrics

    def _measure(
        self, network: torch.nn.Module, data: Data, device: str, measured: Callable[[int], None] = lambda _: None
    ) -> _Measured:
        """measured: called after each batch, with the number of examples so far. Raises as `_outputs` does."""
        import torch

        network.eval()
        loss_sum, predicted, whole, done = 0.0, [], [], 0
        with torch.inference_mode():
            for features, expected in self.to_measure(network, data, device):
                outputs = _outputs(network, features)
                loss_sum += self.losses(outputs, expected).double().sum().item()
                predicted.append(self.predictions(outputs).cpu().numpy())
                whole.append(outputs.float().cpu().numpy())
                done += len(expected)
                measured(done)
        found = np.concatenate(predicted)
        right = int((found == data.labels).sum())
        return _Measured(loss_sum / len(data), right / len(data), found, np.concatenate(whole))

    def _network_with(self, weights: Weights, device: str) -> torch.nn.Module:
        import torch

        with torch.random.fork_rng(devices=[]):  # a network draws weights when it is made
            torch.manual_seed(0)  # and tensors that are in no state_dict, which are to be the same everywhere
            network = self.network()
        network.load_state_dict({name: to_torch(name, array) for name, array in weights.items()})
        return network.to(device)


def split(data: Data, fraction: float, samples: int | None = None) -> tuple[Data, Data]:
    """The examples to train on, and the held-out ones.

    An example's own bytes decide, so that it is on the same side in every round, in whatever order
    the data come and however many are added, and a copy of it never is on the other. About
    ``fraction`` of the examples are held out; one at least where two differ and any is wanted. The training part is
    never empty: what cannot be held out is not. samples: how many are held out instead, and their copies.
    """
    ranks = data.ranks
    if samples is None:
        held_out = ranks < fraction
        if fraction > 0 and len(data) > 1:
            held_out |= ranks == ranks.min()
    else:
        held_out = ranks <= _smallest(ranks, samples)
    if held_out.all() and len(data):
        held_out = ranks < ranks.max()
    return data.subset(np.flatnonzero(~held_out)), data.subset(np.flatnonzero(held_out))


def _smallest(ranks: Array, count: int) -> float:
    """The largest of the `count` smallest ranks; below all of them if there are none."""
    if not count or not len(ranks):
        return -1.0
    found: float = np.partition(ranks, min(count, len(ranks)) - 1)[min(count, len(ranks)) - 1]
    return found


def _steps(config: TrainConfig, sizes: list[int]) -> int:
    """The batches of the whole training, whose epochs have batches of these sizes."""
    total = config.epochs * len(sizes)
    return total if config.local.max_steps is None else min(total, config.local.max_steps)


def _has_batch_norm(network: torch.nn.Module) -> bool:
    from torch.nn.modules.batchnorm import _BatchNorm

    return any(isinstance(module, _BatchNorm) for module in network.modules())


def _needs_company(network: torch.nn.Module) -> bool:
    """Whether it normalizes by the batch also where it is not trained: a BatchNorm that keeps no statistics."""
    from torch.nn.modules.batchnorm import _BatchNorm

    return any(isinstance(module, _BatchNorm) and module.running_mean is None for module in network.modules())


def _evaluation_sizes(num_examples: int, batch: int, *, alone: bool) -> list[int]:
    """The sizes of the batches in which examples are measured. alone: whether the last one may hold a single example.

    If not, that example joins the batch before it.
    """
    whole, rest = divmod(num_examples, batch)
    if rest == 1 and whole and not alone:
        return [batch] * (whole - 1) + [batch + 1]
    return [batch] * whole + [rest] * (rest > 0)


def _outputs(network: torch.nn.Module, features: torch.Tensor) -> torch.Tensor:
    """Raises TooFew for a single example of a network that can only measure several together."""
    try:
        outputs: torch.Tensor = network(features)
    except ValueError as error:
        if len(features) > 1 or not _needs_company(network):
            raise
        message = "A network whose batch normalization keeps no statistics cannot be measured on one example"
        raise TooFew(f"{message}: it needs at least 2 held-out examples.") from error
    return outputs


def _batch_sizes(num_examples: int, batch_size: int, *, alone: bool) -> list[int]:
    """The sizes of an epoch's batches. alone: whether a batch may hold a single example.

    If not, a last batch of one is left out, another example in each epoch. Raises DataError where nothing is left.
    """
    whole, rest = divmod(num_examples, batch_size)
    sizes = [batch_size] * whole + [rest] * (rest > 0)
    if alone:
        return sizes
    sizes = [size for size in sizes if size > 1]
    if not sizes:
        more = "a batch size of 2 or more" if num_examples > 1 else "at least 2 examples"
        raise DataError(f"A network with batch normalization cannot train on one example at a time: it needs {more}.")
    return sizes


def _orders(num_examples: int, config: TrainConfig) -> Iterator[torch.Tensor]:
    """For each epoch, the order in which examples are seen."""
    import torch

    rng = torch.Generator().manual_seed(config.seed)
    for _ in range(config.epochs):
        yield torch.randperm(num_examples, generator=rng)


def _weights_of(network: torch.nn.Module) -> Weights:
    return {name: to_array(tensor) for name, tensor in network.state_dict().items()}


def _examples(count: int) -> str:
    return "one example" if count == 1 else f"{count} examples"


def _go_on(answer: bool) -> None:
    if not answer:
        raise Stopped
