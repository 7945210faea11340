"""What the papers of FedProx and SCAFFOLD claim over FedAvg, tried in small with the product's training and strategies.

    .venv/bin/python benchmarks/claims.py [scaffold|fedprox ...] [--rounds N] [--epochs N] [--seeds 3]

`scaffold`: two clients with f1(x) = x^2 + G x and f2(x) = -G x, as in the lower bound for FedAvg (Karimireddy et al.
2020, arXiv:1910.06378, theorem II). Their mean is lowest at 0, wherever the clients' own slopes G lead. The claim:
FedAvg ends the further from it the larger G and the more local steps; SCAFFOLD does not depend on G. Prints |x| after
the rounds, from x = 1; a round moves at the rate 0.1 in all, however many steps it has.

`fedprox`: the paper's data Synthetic(1, 1) (Li et al. 2020, arXiv:1812.06127, appendix C.1): 30 clients, each with a
logistic model and a distribution of inputs of its own; 10 of them a round, rate 0.01, batches of 10. The claim: with
many local epochs FedAvg (mu = 0) is unstable or worse, and mu = 1 helps. The paper has 20 epochs and 200 rounds.
Prints the mean loss over all clients' training examples and the accuracy on their held-out ones.

All in this process, by `local_update` and `aggregate`. Its last line is the same as JSON. The status is 1 if a claim
does not hold here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import machine  # noqa: E402
from benchmarks.in_process import Begun, Kept, Session  # noqa: E402
from federation.fl import sampling, strategies, weights  # noqa: E402
from federation.fl.aggregation import UpdateFile  # noqa: E402
from federation.fl.local_options import LocalOptions  # noqa: E402
from federation.fl.strategies import Strategy  # noqa: E402
from federation.fl.weights import Weights  # noqa: E402
from federation.fl.workloads import TrainConfig  # noqa: E402
from federation.fl.workloads.own import OwnWorkload  # noqa: E402
from federation.fl.workloads.workload import Data, DataError  # noqa: E402

if TYPE_CHECKING:
    import torch

SLOPES, STEPS = (1.0, 10.0, 100.0), (2, 10)
CLIENTS, COHORT, INPUTS, CLASSES = 30, 10, 60, 10


class Drawn(OwnWorkload):
    """A workload whose examples are drawn here, and lie in no folder."""

    def data(self, options: Mapping[str, Any], folder: Path | None) -> Data:
        raise DataError(f"The examples of {self.name} are drawn by benchmarks/claims.py: no folder has them.")


class Quadratics(Drawn):
    """An example (a, b) is the loss a x^2 + b x of one number x."""

    name = "quadratics"

    def model(self, options: Mapping[str, Any]) -> torch.nn.Module:
        from torch import nn

        layer = nn.Linear(1, 1, bias=False)
        nn.init.ones_(layer.weight)
        return layer

    def loss(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        x = outputs[:, 0]
        return labels[:, 0] * x**2 + labels[:, 1] * x


def pair(slope: float) -> list[Data]:
    ones = np.ones((1, 1), np.float32)
    return [Data(ones, np.array([[a, b]], np.float32), ()) for a, b in ((1.0, slope), (0.0, -slope))]


class Logistic(Drawn):
    name = "logistic"

    def model(self, options: Mapping[str, Any]) -> torch.nn.Module:
        from torch import nn

        layer = nn.Linear(INPUTS, CLASSES)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
        return layer

    def loss(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs, labels, reduction="none")


def synthetic(seed: int, alpha: float = 1.0, beta: float = 1.0, most: int = 1000) -> list[Data]:
    """Synthetic(alpha, beta): of each client the model W x + b, and inputs around a mean, of its own.

    Sizes follow a log-normal law, as in the paper's code; here at most `most`, so that a round ends.
    """
    rng = np.random.default_rng(seed)
    spread = np.arange(1, INPUTS + 1) ** -0.6  # the root of the variances j^-1.2
    names = tuple(map(str, range(CLASSES)))
    found = []
    for _ in range(CLIENTS):
        u, mean = rng.normal(0, alpha), rng.normal(rng.normal(0, beta), 1, INPUTS)
        matrix, bias = rng.normal(u, 1, (INPUTS, CLASSES)), rng.normal(u, 1, CLASSES)
        inputs = rng.normal(mean, spread, (min(most, int(rng.lognormal(4, 2)) + 50), INPUTS))
        labels = (inputs @ matrix + bias).argmax(axis=1).astype(np.int64)
        found.append(Data(inputs.astype(np.float32), labels, names))
    return found


@dataclass(frozen=True)
class Federation:
    """Clients that train from one model."""

    workload: OwnWorkload
    data: Sequence[Data]
    strategy: Strategy
    config: TrainConfig

    def run(self, rounds: int, cohort: int, seed: int) -> Weights:
        """The model after so many rounds of so many clients each."""
        rate = self.config.learning_rate
        session = Session(self.workload, self.strategy, seed, population=len(self.data), learning_rate=rate)
        train = partial(self._train, cohort, seed, Kept.of(self.strategy, rate))
        with tempfile.TemporaryDirectory() as folder:
            for made in session.rounds(rounds, Path(folder), train):
                last = weights.load(made.model)
        return last

    def _train(self, cohort: int, seed: int, kept: Kept, begun: Begun) -> list[UpdateFile]:
        everybody, files = [str(client) for client in range(len(self.data))], []
        for name in sampling.draw(everybody, cohort, seed=seed, round_number=begun.number):
            client = int(name)
            config = replace(
                self.config,
                seed=sampling.client_seed(seed, begun.number, name),
                extra=self.strategy.client_config(),
                local=LocalOptions.read(self.strategy.local_options()),
                correction=kept.correction(client, begun.sent),
            )
            update = self.workload.local_update(begun.base, self.data[client], {}, config, lambda *_: True)
            kept.keep(client, begun.sent, update)
            files.append(begun.file(client, update))
        return files


# ---- SCAFFOLD


def distance(strategy: str, slope: float, steps: int, rounds: int) -> float:
    """|x| after the rounds."""
    config = TrainConfig(epochs=steps, batch_size=1, learning_rate=0.1 / steps, seed=0, validation_fraction=0.0)
    federation = Federation(Quadratics(), pair(slope), strategies.build(strategy, {}), config)
    (x,) = federation.run(rounds, 2, 1).values()
    return abs(float(x.item()))


def scaffold(options: argparse.Namespace) -> dict[str, Any]:
    rounds = options.rounds or 60
    found = {
        f"{name}, {steps} steps": [distance(name, slope, steps, rounds) for slope in SLOPES]
        for name in ("fedavg", "scaffold")
        for steps in STEPS
    }
    print(f"SCAFFOLD, two quadratics, |x| after {rounds} rounds; slopes G of {', '.join(f'{one:g}' for one in SLOPES)}")
    for name, distances in found.items():
        print(f"  {name:20} {'  '.join(f'{one:10.6f}' for one in distances)}")
    averaged, corrected = (found[f"{name}, {STEPS[-1]} steps"] for name in ("fedavg", "scaffold"))
    holds = averaged[-1] > 10 * averaged[0] and max(corrected) < averaged[0]
    return {"claim": "scaffold", "rounds": rounds, "slopes": SLOPES, "distances": found, "holds": holds}


# ---- FedProx


def trial(mu: float, seed: int, rounds: int, epochs: int) -> tuple[float, float]:
    """The loss on all training examples, and the accuracy on all held-out ones."""
    name, given = ("fedprox", {"mu": mu}) if mu else ("fedavg", {})
    config = TrainConfig(epochs=epochs, batch_size=10, learning_rate=0.01, seed=0)
    data, workload = synthetic(seed), Logistic()
    model = Federation(workload, data, strategies.build(name, given), config).run(rounds, COHORT, seed)
    losses, right, trained, held = 0.0, 0.0, 0, 0
    for one in data:
        whole = workload.local_evaluation(model, one, {}, every(one), lambda *_: True)
        part = workload.local_evaluation(model, one, {}, config, lambda *_: True)
        losses, trained = losses + whole.metrics["loss"] * whole.num_examples, trained + whole.num_examples
        right, held = right + part.metrics["accuracy"] * part.num_examples, held + part.num_examples
    return losses / trained, right / held


def every(data: Data) -> TrainConfig:
    return TrainConfig(1, 10, 0.01, seed=0, validation_samples=len(data))


def fedprox(options: argparse.Namespace) -> dict[str, Any]:
    rounds, epochs = options.rounds or 40, options.epochs
    found: dict[str, list[tuple[float, float]]] = {}
    for mu in (0.0, 1.0):
        found[f"mu = {mu:g}"] = [trial(mu, seed, rounds, epochs) for seed in range(1, options.seeds + 1)]
    print(f"FedProx, Synthetic(1, 1), {epochs} epochs, {rounds} rounds, {options.seeds} seeds")
    for name, both in found.items():
        losses, accuracies = ([one[place] for one in both] for place in (0, 1))
        print(f"  {name}: loss {statistics.mean(losses):.3f}, accuracy {statistics.mean(accuracies):.3f}")
    plain, held = (statistics.mean(loss for loss, _ in both) for both in found.values())
    return {"claim": "fedprox", "rounds": rounds, "epochs": epochs, "found": found, "holds": held < plain}


CLAIMS: Mapping[str, Callable[[argparse.Namespace], dict[str, Any]]] = {"scaffold": scaffold, "fedprox": fedprox}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("claims", nargs="*", choices=[*CLAIMS, []], help=f"of {', '.join(CLAIMS)}; without, all")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--epochs", type=int, default=20, help="of fedprox")
    parser.add_argument("--seeds", type=int, default=3, help="of fedprox")
    options = parser.parse_args()
    print(machine.describe(), flush=True)
    found = [CLAIMS[name](options) for name in options.claims or CLAIMS]
    print(json.dumps(found))
    return 0 if all(one["holds"] for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
