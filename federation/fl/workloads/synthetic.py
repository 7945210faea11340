"""Weights of any size without data or training, for benchmarks and tests of everything around them. NumPy alone."""

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from federation.fl import weights
from federation.fl.options import Option, check
from federation.fl.weights import Array, Weights
from federation.fl.workloads import releases, workload
from federation.fl.workloads.workload import Data, LocalUpdate, Report, Stopped, TrainConfig, source_digest

SOURCE = source_digest(__file__, workload.__file__)
BLOCK = 2**16  # parameters drawn and written at a time
STEPS = 5  # points that a client reports
NUM_EXAMPLES = 100  # what a client without data counts as


class Synthetic:
    """One float32 tensor, "weight", of noise; a client's delta is more noise, at once."""

    name = "synthetic"
    title = "Synthetic"
    summary = "Noise of any size instead of a network: measures transport and aggregation, learns nothing."
    options: tuple[Option, ...] = (
        Option("num_parameters", int, 100_000, 1, 2_000_000_000, help="Size of the model; 4 bytes each."),
    )
    needs_torch = False
    version = "1"
    revision = 1
    accepts = releases.accepted(name, revision)
    train_defaults: Mapping[str, float] = {"epochs": 1, "batch_size": 32, "learning_rate": 0.1}

    def digest(self) -> str:
        return SOURCE

    def initial_weights(self, options: Mapping[str, Any], seed: int) -> Weights:
        return {"weight": _noise(np.empty(self._checked(options)["num_parameters"], np.float32), _generator(seed))}

    def write_initial(self, path: Path, options: Mapping[str, Any], seed: int) -> str:
        """Write it block by block: memory stays flat for any number of parameters."""
        size: int = self._checked(options)["num_parameters"]
        header = weights.header_bytes({"weight": ("F32", (size,))})
        sha = hashlib.sha256(header)
        rng, buffer = _generator(seed), np.empty(min(size, BLOCK), np.float32)
        with path.open("wb") as file:
            file.write(header)
            for start in range(0, size, BLOCK):
                block = _noise(buffer[: size - start], rng).data
                file.write(block)
                sha.update(block)
        return sha.hexdigest()

    def buffers(self, options: Mapping[str, Any]) -> tuple[str, ...]:
        self._checked(options)
        return ()

    def training_data(self, options: Mapping[str, Any], folder: Path | None) -> Data:
        self._checked(options)
        return Data(np.empty(0, np.float32), np.empty(0, np.int64), ())

    def local_update(
        self, base: Weights, data: Data, options: Mapping[str, Any], config: TrainConfig, report: Report
    ) -> LocalUpdate:
        """Return noise of standard deviation 0.01, seeded by config.seed; integers don't move.

        A block is drawn and repeated: drawing all of it would be most of what a client does in a round.
        """
        self._checked(options)
        loss = 0.0
        for step in range(1, STEPS + 1):
            loss = math.exp(-step / STEPS)
            if not report("training", step, STEPS, {"train_loss": loss}):
                raise Stopped
        delta = {
            name: _delta(array, _generator(config.seed, index))
            for index, (name, array) in enumerate(sorted(base.items()))
        }
        return LocalUpdate(delta, len(data) or NUM_EXAMPLES, {"train_loss": loss})

    def evaluate(self, weights: Weights, options: Mapping[str, Any]) -> dict[str, float]:
        self._checked(options)
        return {}

    def _checked(self, options: Mapping[str, Any]) -> dict[str, Any]:
        return check(options, self.options, "workload synthetic")


def _noise(array: Array, rng: np.random.Generator) -> Array:
    """Fill a flat float32 array with noise of standard deviation 0.01.

    Uniform, because it costs a fifth of normal noise: 25e6 parameters in about 0.1 s.
    """
    width = np.float32(0.01 * math.sqrt(12))
    for start in range(0, array.size, BLOCK):
        block = array[start : start + BLOCK]
        rng.random(dtype=np.float32, out=block)
        block -= np.float32(0.5)
        block *= width
    return array


def _delta(base: Array, rng: np.random.Generator) -> Array:
    if base.dtype.kind != "f":
        return np.zeros_like(base)
    block = _noise(np.empty(min(base.size, BLOCK), np.float32), rng)
    delta = np.empty(base.size, base.dtype)
    for start in range(0, base.size, BLOCK):
        delta[start : start + BLOCK] = block[: base.size - start]
    return delta.reshape(base.shape)


def _generator(*seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64(seed))  # NumPy's fastest
