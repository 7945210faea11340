"""What differential privacy costs in accuracy, and what it keeps from somebody who attacks the model; in this process.

    python benchmarks/privacy.py [--clients 100] [--rounds 20] [--budgets 3 10 30] [--delta 1e-3] [--seeds 1]
                                 [--wrong-labels 0.0] [--kept FILE] [--processes 2]

The training set of digits is split evenly over twice as many clients: half of them train, the other half never do.
Each budget has the noise multiplier that spends it in exactly these rounds, with an adaptive clip and FedAvg; all
clients take part in every round, so there is no amplification. The noise of a run is drawn from a fixed key, so that
it can be repeated. `--wrong-labels` gives so large a share of all clients' examples a label at random: a model can
fit these only by heart, which is what an attack finds. `--kept FILE` keeps each session as a line of JSON, and
plays only those that are not in it.

The attack knows the last model and a client's examples, and guesses by their mean loss whether the client took part
(Yeom et al. 2018, arXiv:1709.01604). Printed: the accuracy on the test set; the mean loss of those who took part and
of those who did not; the attack's AUC (0.5 is guessing) and its advantage (true less false positives, at the best
threshold; among few clients it is above 0 by chance).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from benchmarks import played  # noqa: E402
from benchmarks.in_process import Begun, Session  # noqa: E402
from federation.fl import aggregation, partition, sampling, strategies, weights  # noqa: E402
from federation.fl.privacy.clippings import build as clipping  # noqa: E402
from federation.fl.privacy.mechanism import Private  # noqa: E402
from federation.fl.privacy.noise import Noise, derived  # noqa: E402
from federation.fl.privacy.spending import Cost, epsilon  # noqa: E402
from federation.fl.workloads import WORKLOADS, TrainConfig  # noqa: E402
from federation.fl.workloads.training import TorchWorkload  # noqa: E402
from federation.fl.workloads.workload import Data  # noqa: E402

CONFIG = TrainConfig(epochs=5, batch_size=8, learning_rate=0.1, seed=0, validation_fraction=0.0)
FIRST_CLIP = 1.0
HIGHEST = 1000.0  # noise multiplier that is looked for


@dataclass(frozen=True)
class Trial:
    """noise_multiplier: None for no privacy."""

    noise_multiplier: float | None
    clients: int
    rounds: int
    seed: int
    wrong_labels: float

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"config": CONFIG, "clip": FIRST_CLIP}


@dataclass(frozen=True)
class Attacked:
    """accuracy: of the last model. inside, outside: mean losses of each client that took part, and that did not."""

    accuracy: float
    inside: Sequence[float]
    outside: Sequence[float]

    @property
    def auc(self) -> float:
        """How often a client that took part has the smaller loss of two."""
        wins = [(own < other) + (own == other) / 2 for own in self.inside for other in self.outside]
        return statistics.fmean(wins)

    @property
    def advantage(self) -> float:
        def rate(losses: Sequence[float], threshold: float) -> float:
            return statistics.fmean(loss <= threshold for loss in losses)

        return max(rate(self.inside, at) - rate(self.outside, at) for at in (*self.inside, *self.outside))


def multiplier_for(budget: float, rounds: int, delta: float) -> float:
    """The least noise that keeps so many rounds within a budget, to a thousandth."""
    low, high = 0.01, HIGHEST
    while high / low > 1.001:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if epsilon([Cost(middle)] * rounds, delta) <= budget else (middle, high)
    return high


def play(trial: Trial) -> dict[str, Any]:
    """Train a session."""
    import torch

    torch.set_num_threads(1)
    workload = WORKLOADS["digits"]
    assert isinstance(workload, TorchWorkload)
    everybody = shards(workload, 2 * trial.clients, trial.seed, trial.wrong_labels)
    inside, outside = everybody[: trial.clients], everybody[trial.clients :]
    key = derived(b"a key that everybody may know", str(trial.seed).encode())
    strategy = strategies.build("fedavg", {"weighting": "equal"})
    session = Session(workload, strategy, trial.seed, private=partial(private, trial.noise_multiplier, key))
    with tempfile.TemporaryDirectory() as folder:
        for made in session.rounds(trial.rounds, Path(folder), partial(updates, workload, inside, trial.seed)):
            last = weights.load(made.model)
    losses = [[loss_of(workload, last, data) for data in group] for group in (inside, outside)]
    return asdict(Attacked(workload.evaluate(last, {})["accuracy"], *losses))


def private(noise_multiplier: float | None, key: bytes, number: int) -> Private | None:
    if noise_multiplier is None:
        return None
    chosen = clipping("adaptive", {"noise_multiplier": noise_multiplier, "clip": FIRST_CLIP})
    assert chosen is not None
    return Private(chosen, Noise(key, number, 1, ()))


def shards(workload: TorchWorkload, clients: int, seed: int, wrong_labels: float) -> list[Data]:
    whole, random = workload.training_data({}, None), np.random.default_rng(seed)
    is_wrong = random.random(len(whole)) < wrong_labels
    labels = np.where(is_wrong, random.integers(0, len(whole.label_names), len(whole)), whole.labels)
    whole = replace(whole, labels=labels)
    found = partition.all_shards(whole.labels, partition.parse("iid"), num_shards=clients, seed=seed)
    return [whole.subset(indices) for indices in found]


def updates(workload: TorchWorkload, data: Sequence[Data], seed: int, begun: Begun) -> list[aggregation.UpdateFile]:
    files = []
    for client, own in enumerate(data):
        config = replace(CONFIG, seed=sampling.client_seed(seed, begun.number, f"client-{client}", 1))
        files.append(begun.file(client, workload.local_update(begun.base, own, {}, config, lambda *_: True)))
    return files


def loss_of(workload: TorchWorkload, model: weights.Weights, data: Data) -> float:
    config = replace(CONFIG, validation_samples=len(data))
    return workload.local_evaluation(model, data, {}, config, lambda *_: True).metrics["loss"]


def row(name: str, noise: float | None, found: Sequence[Attacked]) -> str:
    accuracies = [100 * one.accuracy for one in found]
    accuracy, spread = statistics.fmean(accuracies), (max(accuracies) - min(accuracies)) / 2
    inside, outside = (
        statistics.fmean(statistics.fmean(group) for group in groups)
        for groups in zip(*((one.inside, one.outside) for one in found), strict=True)
    )
    auc, advantage = (np.mean([getattr(one, what) for one in found]) for what in ("auc", "advantage"))
    told = "" if noise is None else f"{noise:.2f}"
    return (
        f"{name:>8} {told:>6} {accuracy:9.1f} ± {spread:3.1f} % {inside:8.3f} {outside:8.3f} {outside - inside:7.3f} "
        f"{auc:6.3f} {advantage:9.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--budgets", type=float, nargs="+", default=[3.0, 10.0, 30.0])
    parser.add_argument("--delta", type=float, default=1e-3)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--wrong-labels", type=float, default=0.0)
    parser.add_argument("--kept", type=Path, metavar="FILE", help="of the sessions that are known")
    parser.add_argument("--processes", type=int, help="as many as cores if it is not given")
    args = parser.parse_args()
    budgets = (None, *sorted(args.budgets, reverse=True))
    noises = [None if budget is None else multiplier_for(budget, args.rounds, args.delta) for budget in budgets]
    trials = [
        Trial(noise, args.clients, args.rounds, seed, args.wrong_labels)
        for noise in noises
        for seed in range(1, args.seeds + 1)
    ]
    told = played.all_of(trials, play, processes=args.processes, kept=args.kept)
    print(f"digits, {args.clients} clients of {2 * args.clients}, {args.rounds} rounds, delta {args.delta:g}")
    print(
        f"{'epsilon':>8} {'noise':>6} {'accuracy':>17} {'took part':>8} {'others':>8} {'gap':>7} {'AUC':>6} advantage"
    )
    for budget, noise in zip(budgets, noises, strict=True):
        found = [Attacked(**one) for trial, one in told.items() if trial.noise_multiplier == noise]
        print(row("none" if budget is None else f"{budget:g}", noise, found))


if __name__ == "__main__":
    main()
