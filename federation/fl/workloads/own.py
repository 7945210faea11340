"""The base of workloads outside the product: a torch network, data and a loss of one's own, trained as ours are.

`docs/workloads.md` shows how to write one. torch is imported only inside functions.
"""

from __future__ import annotations

import copy
import sys
from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from federation.fl.measures import Measure, counted
from federation.fl.options import OptionError
from federation.fl.weights import Array, Weights
from federation.fl.workloads import training
from federation.fl.workloads.training import TorchWorkload
from federation.fl.workloads.workload import (
    Data,
    DataError,
    LocalEvaluation,
    LocalUpdate,
    Report,
    Stopped,
    TrainConfig,
    source_digest,
)

if TYPE_CHECKING:
    import torch


class OwnWorkload(TorchWorkload):
    """Give it a name, `model`, `data` and `loss`. All else has a default.

    options: what an operator can set, handed to `model`, `data` and `test` with all their values.
    measures: what `measure` returns, and "loss", the most telling one first.
    is_read_by_options: whether only options say which data a site has, so that they are not counted before a session.
    """

    title = ""
    summary = ""
    measures: tuple[Measure, ...] = ()
    is_read_by_options = False
    train_defaults: Mapping[str, float] = {"epochs": 1, "batch_size": 32, "learning_rate": 0.01}
    _chosen: Mapping[str, Any] = {}

    def problem(self, options: Mapping[str, Any]) -> tuple[str, str] | None:
        """An option that does not fit the others, and a sentence that begins with its name. None if all fit.

        options: all of them, each of which is allowed by itself.
        """
        return None

    @abstractmethod
    def model(self, options: Mapping[str, Any]) -> torch.nn.Module:
        """A new network, with weights drawn from torch's generator."""

    @abstractmethod
    def data(self, options: Mapping[str, Any], folder: Path | None) -> Data:
        """All examples of this site. folder: its --data, or None. Features and labels may be of any dtype of torch."""

    @abstractmethod
    def loss(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The loss of each example, (n,); of (n, ...) the mean of each example counts."""

    def measure(self, outputs: torch.Tensor, labels: torch.Tensor) -> Mapping[str, float]:
        """Numbers of a model, of its outputs for all held-out examples at once, on the CPU.

        Without one of its own a workload whose labels are whole numbers has "accuracy".
        """
        if labels.is_floating_point():
            return {}
        return {"accuracy": (self.predictions(outputs) == labels).double().mean().item()}

    def predictions(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs.argmax(dim=1)

    def counts(self, outputs: torch.Tensor, data: Data) -> dict[str, Any]:
        """Whole numbers that are added over sites, for pictures: lists, nested up to three deep, by name.

        With named classes that is a confusion matrix, and with `odds` ROC and calibration, too.
        outputs: of all held-out examples at once, on the CPU.
        """
        if not data.label_names or data.labels.dtype.kind not in "iu":
            return {}
        predicted: Array = self.predictions(outputs).numpy()
        odds = self.odds(outputs.float().numpy())
        return counted.of_classes(data.labels, predicted, odds, len(data.label_names))

    def test(self, options: Mapping[str, Any]) -> Data | None:
        """The server's test set, which no site trains on; None if there is none."""
        return None

    # ---- what runs it

    def checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        found = TorchWorkload.checked(self, options)
        if problem := self.problem(found):
            raise OptionError(*problem)
        return found

    def digest(self) -> str:
        """Of its module; where a file or package is loaded as a workload, this is replaced."""
        return source_digest(sys.modules[type(self).__module__].__file__ or "")

    def network(self) -> torch.nn.Module:
        return self.model(self._chosen)

    def losses(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        found = self.loss(outputs, labels)
        if found.ndim == 0 or len(found) != len(labels):
            shape = tuple(found.shape)
            raise ValueError(f"loss gave the shape {shape} for {len(labels)} examples: use reduction='none'")
        return found.flatten(1).mean(dim=1) if found.ndim > 1 else found

    def training_data(self, options: Mapping[str, Any], folder: Path | None) -> Data:
        return self.data(self.checked(options), folder)

    def test_data(self, options: Mapping[str, Any]) -> Data:
        found = self.test(self.checked(options))
        if found is None:
            raise DataError(f"The workload {self.name} has no test set.")
        return found

    def buffers(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        return TorchWorkload.buffers(self._with(options), options)

    def initial_weights(self, options: Mapping[str, Any], seed: int) -> Weights:
        return TorchWorkload.initial_weights(self._with(options), options, seed)

    def local_update(
        self, base: Weights, data: Data, options: Mapping[str, Any], config: TrainConfig, report: Report
    ) -> LocalUpdate:
        return TorchWorkload.local_update(self._with(options), base, data, options, config, report)

    def evaluate(self, weights: Weights, options: Mapping[str, Any]) -> dict[str, float]:
        """Measure a model on the test set; {} if there is none."""
        chosen = self._with(options)
        data = chosen.test(chosen._chosen)
        if data is None:
            return {}
        return chosen._numbers(chosen._network_with(weights, "cpu"), data, "cpu")[0]

    def local_evaluation(
        self, model: Weights, data: Data, options: Mapping[str, Any], config: TrainConfig, report: Report
    ) -> LocalEvaluation:
        """Measure a model on the held-out examples, and count for pictures."""
        chosen = self._with(options)
        _, held_out = training.split(data, config.validation_fraction, config.validation_samples)
        total = len(held_out)
        if not total:
            raise DataError(f"There is no held-out example to evaluate on: this site has {len(data)} in all.")

        def measured(examples: int) -> None:
            if not report("evaluating", examples, total, {}):
                raise Stopped

        network = chosen._network_with(model, config.device)
        numbers, outputs = chosen._numbers(network, held_out, config.device, measured)
        return LocalEvaluation(total, numbers, chosen.counts(outputs, held_out))

    def _with(self, options: Mapping[str, Any]) -> Self:
        """Itself, with these options for `network`."""
        chosen = copy.copy(self)
        chosen._chosen = self.checked(options)
        return chosen

    def _validate(
        self, network: torch.nn.Module, data: Data, device: str, prefix: str, step: int, total: int, report: Report
    ) -> dict[str, float]:
        if not len(data):
            return {}
        try:
            numbers, _ = self._numbers(network, data, device)
        except training.TooFew:
            return {}
        metrics = {f"{prefix}{name}": value for name, value in numbers.items()}
        if not report("evaluating", step, total, metrics):
            raise Stopped
        return metrics

    def _numbers(
        self, network: torch.nn.Module, data: Data, device: str, measured: Callable[[int], None] = lambda _: None
    ) -> tuple[dict[str, float], torch.Tensor]:
        """Mean loss and measures, and the outputs. measured: called after each batch, with the examples so far."""
        import torch

        network.eval()
        loss_sum, found, done = 0.0, [], 0
        with torch.inference_mode():
            for features, expected in self.to_measure(network, data, device):
                outputs = training._outputs(network, features)
                loss_sum += self.losses(outputs, expected).double().sum().item()
                found.append(outputs.cpu())
                done += len(expected)
                measured(done)
            labels = torch.from_numpy(data.labels)
            whole = torch.cat(found)
            measures = {name: float(value) for name, value in self.measure(whole, labels).items()}
        return {"loss": loss_sum / len(data), **measures}, whole
