"""A trial of a workload without a server: two steps, an evaluation, and a round trip through files of weights."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from federation.fl import weights
from federation.fl.files import updates
from federation.fl.files.updates import UpdateError
from federation.fl.options import OptionError, check
from federation.fl.weights import Array, Weights, shown
from federation.fl.workloads import Data, Evaluates, LocalEvaluation, LocalUpdate, TrainConfig, Workload
from federation.fl.workloads.foreign import Place, sentence_of

T = TypeVar("T")
SEED = 1
STEPS = 2
MOST_NUMBER = 10**30  # what the server keeps of a number


class Fault(Exception):
    """What is wrong. str(error) is a sentence that names the line, option or tensor."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried. options: may be incomplete. data: the site's folder. folder: for files, empty."""

    workload: Workload
    place: Place
    options: Mapping[str, Any]
    data: Path | None
    folder: Path

    def run(self) -> Iterator[str]:
        """Try one thing after another; a sentence for each that works. Raises Fault for the first that does not."""
        options = self._options()
        yield f"{self.workload.name}: imported; digest {self.workload.digest()[:12]}…"
        model = self._model(options)
        parameters = sum(array.size for array in model.values())
        size = f"{_counted(len(model), 'tensor')} with {_counted(parameters, 'number')}"
        yield f"model: {size}, the same from the same seed and from its file"
        data = self._read(options)
        yield f"data: {len(data)} examples, features {_described(data.features)}, labels {_described(data.labels)}"
        part, config = _two_steps(data, self.workload)
        update, steps = self._train(model, part, options, config)
        yield f"training: {_counted(steps, 'step')} on {update.num_examples} examples; {_numbers(update.metrics)}"
        yield self._again(model, update, part, options, config)
        yield f"update: {self._send(model, update, options)} bytes, as a server takes it"
        yield self._evaluate(model, data, options, config)
        yield self._measure(model, options)

    def _call(self, what: str, do: Callable[[], T]) -> T:
        """Call the workload. Whatever it raises becomes a Fault with the line of its file."""
        try:
            return do()
        except Exception as error:
            raise Fault(f"{what}: {sentence_of(error, self.place)}.") from error

    def _options(self) -> dict[str, Any]:
        try:
            return check(self.options, self.workload.options, f"workload {self.workload.name}")
        except OptionError as error:
            raise Fault(str(error)) from error

    # ---- the model

    def _model(self, options: Mapping[str, Any]) -> Weights:
        workload, path = self.workload, self.folder / "initial"
        model = self._call("initial_weights", lambda: workload.initial_weights(options, SEED))
        _require_arrays("initial_weights", model)
        if not model:
            raise Fault("initial_weights: the model has no tensor.")
        again = self._call("initial_weights", lambda: workload.initial_weights(options, SEED))
        _require_arrays("initial_weights", again)
        _require_equal(model, again, "initial_weights gives another value from the same seed each time")
        digest = self._call("write_initial", lambda: workload.write_initial(path, options, SEED))
        stored = self._call("write_initial", lambda: weights.load(path))
        _require_equal(model, stored, "write_initial writes another value than initial_weights gives")
        if digest != _digest(path):
            raise Fault("write_initial returns another digest than that of its file.")
        buffers = self._call("buffers", lambda: workload.buffers(options))
        if not isinstance(buffers, list | tuple) or not all(isinstance(name, str) for name in buffers):
            raise Fault(f"buffers must return a tuple of names, not {buffers!r}.")
        if unknown := sorted(set(buffers) - model.keys()):
            raise Fault(f"buffers names {shown(unknown[0])}, which is no tensor of the model.")
        return model

    # ---- data, two steps

    def _read(self, options: Mapping[str, Any]) -> Data:
        data = self._call("data", lambda: self.workload.training_data(options, self.data))
        if not isinstance(data, Data):
            raise Fault(f"data must be a Data, not {type(data).__name__}.")
        for name, array in (("features", data.features), ("labels", data.labels)):
            if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
                raise Fault(f"data: {name} must be a NumPy array of numbers, not {_described(array)}.")
            if not array.ndim:
                raise Fault(f"data: {name} must have a row for each example, and are one number.")
        if len(data.labels) not in (0, len(data)):
            raise Fault(f"data: there are {len(data)} features and {len(data.labels)} labels.")
        if data.features.dtype.kind == "f" and not np.isfinite(data.features).all():
            raise Fault("data: features hold a value that is not finite.")
        return data

    def _train(
        self, model: Weights, data: Data, options: Mapping[str, Any], config: TrainConfig
    ) -> tuple[LocalUpdate, int]:
        seen: list[int] = []

        def report(phase: str, step: int, total: int, metrics: Mapping[str, float]) -> bool:
            if phase == "training":
                seen.append(step)
            return True

        update = self._call("training", lambda: self.workload.local_update(model, data, options, config, report))
        if not isinstance(update, LocalUpdate):
            raise Fault(f"local_update must return a LocalUpdate, not {type(update).__name__}.")
        if not seen:
            raise Fault("local_update never calls report, so nobody sees how far it is.")
        _require_arrays("local_update: delta", update.delta)
        _require_numbers("local_update", update.metrics)
        return update, len(seen)

    def _again(
        self, model: Weights, update: LocalUpdate, data: Data, options: Mapping[str, Any], config: TrainConfig
    ) -> str:
        """Whether a site that is killed trains to the same update again. If not, that is no fault, but good to know."""
        again, _ = self._train(model, data, options, config)
        try:
            _require_equal(update.delta, again.delta, "training gives another update from the same seed each time")
        except Fault as error:
            return f"note: {error} Draw random numbers from config.seed alone."
        return "training again: the same update"

    def _send(self, model: Weights, update: LocalUpdate, options: Mapping[str, Any]) -> int:
        """How many bytes the update has, after the checks of a server."""
        base, path = self.folder / "base", self.folder / "update"
        digest = self._call("initial_weights", lambda: weights.save(base, model))
        metrics = {name: float(value) if math.isfinite(value) else None for name, value in update.metrics.items()}
        metadata = {
            "num_examples": str(update.num_examples),
            "base_digest": digest,
            "metrics": json.dumps(metrics, sort_keys=True),
        }
        self._call("local_update", lambda: weights.save(path, update.delta, metadata))
        buffers = self.workload.buffers(options)
        try:
            header = weights.read_header(base)
            found = updates.check(path, base=header, base_digest=digest, buffers=buffers, model=base)
        except UpdateError as error:
            raise Fault(f"local_update: {error}") from error
        return found.num_bytes

    # ---- measuring

    def _evaluate(self, model: Weights, data: Data, options: Mapping[str, Any], config: TrainConfig) -> str:
        workload = self.workload
        if not isinstance(workload, Evaluates):
            return "evaluation: none at sites, because the workload has no local_evaluation"
        found = self._call(
            "evaluation", lambda: workload.local_evaluation(model, data, options, config, lambda *_: True)
        )
        if not isinstance(found, LocalEvaluation):
            raise Fault(f"local_evaluation must return a LocalEvaluation, not {type(found).__name__}.")
        _require_numbers("local_evaluation", found.metrics)
        return f"evaluation: {found.num_examples} held-out examples; {_numbers(found.metrics)}"

    def _measure(self, model: Weights, options: Mapping[str, Any]) -> str:
        found = self._call("test", lambda: self.workload.evaluate(model, options))
        if not found:
            return "test set: none, so that the server measures nothing"
        _require_numbers("evaluate", found)
        return f"test set: {_numbers(found)}"


def _two_steps(data: Data, workload: Workload) -> tuple[Data, TrainConfig]:
    """A part of the data that gives two batches, and what to train it with."""
    defaults = {"batch_size": 32, "learning_rate": 0.01} | dict(workload.train_defaults)
    most = min(len(data), STEPS * int(defaults["batch_size"]))
    batch = max(1, math.ceil(most / STEPS))
    rate = float(defaults["learning_rate"])
    config = TrainConfig(epochs=1, batch_size=batch, learning_rate=rate, seed=SEED)
    return (data.subset(np.arange(most)) if len(data) else data), config


def _require_equal(one: Mapping[str, Array], other: Mapping[str, Array], why: str) -> None:
    for name in sorted(one.keys() ^ other.keys()):
        raise Fault(f"{why}: the tensor {shown(name)} is not always there.")
    for name, array in one.items():
        same = array.dtype == other[name].dtype and array.shape == other[name].shape
        if not same or array.tobytes() != other[name].tobytes():
            raise Fault(f"{why}: see the tensor {shown(name)}.")


def _require_arrays(what: str, given: object) -> None:
    if not isinstance(given, Mapping):
        raise Fault(f"{what} must be a dict of NumPy arrays by name, not {type(given).__name__}.")
    for name, array in given.items():
        if not isinstance(name, str) or not isinstance(array, np.ndarray):
            raise Fault(f"{what}: {shown(name)} must be a NumPy array with a name, not {type(array).__name__}.")


def _require_numbers(what: str, metrics: object) -> None:
    if not isinstance(metrics, Mapping):
        raise Fault(f"{what}: metrics must be a dict of numbers by name, not {type(metrics).__name__}.")
    for name, value in metrics.items():
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise Fault(f"{what}: {name} must be a number, not {type(value).__name__}.")
        if isinstance(value, int) and abs(value) > MOST_NUMBER:
            raise Fault(f"{what}: {name} is larger than any number of a curve.")


def _described(value: object) -> str:
    return f"{value.dtype}{list(value.shape[1:]) or ''}" if isinstance(value, np.ndarray) else type(value).__name__


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _numbers(metrics: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in sorted(metrics.items())) or "no numbers"


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()
