"""What each strategy learns, in this process: ten clients, three ways to split the data.

    python benchmarks/learning.py [--data digits] [--rounds 30] [--seeds 3] [--splits iid ...] [--strategies fedavg ...]
                                  [--kept FILE] [--processes 2]

The splits: evenly; by a Dirichlet distribution of labels with concentration 0.1; and two pieces of the data sorted by
label a client, which is about two classes each. Every strategy begins with the same weights and trains with the same
seeds. Prints, for each split and strategy, the mean accuracy on the central test set over the last five rounds and
its spread over the seeds, the worst client's, and the rounds to 80 %. `--kept FILE` keeps each session's curve as a
line of JSON, and plays only those that are not in it; `learning_picture.py` draws them. With digits a round takes about
half a second of a core, with Fashion-MNIST (`--data fashion_mnist`, with the network 2NN and one epoch) about three;
its files must be where the workload looks for them.
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
from benchmarks.in_process import Begun, Kept, Session  # noqa: E402
from federation.fl import aggregation, partition, sampling, strategies, weights  # noqa: E402
from federation.fl.local_options import LocalOptions  # noqa: E402
from federation.fl.strategies import Strategy  # noqa: E402
from federation.fl.workloads import WORKLOADS, TrainConfig  # noqa: E402
from federation.fl.workloads.training import TorchWorkload  # noqa: E402
from federation.fl.workloads.workload import Data  # noqa: E402

CLIENTS = 10
SPLITS = {"iid": "iid", "dirichlet 0.1": "dirichlet:0.1", "two classes": "shards:2"}
CONFIGS: Mapping[str, TrainConfig] = {  # by workload
    "digits": TrainConfig(epochs=2, batch_size=16, learning_rate=0.03, seed=0, validation_fraction=0.0),
    "fashion_mnist": TrainConfig(epochs=1, batch_size=32, learning_rate=0.05, seed=0, validation_fraction=0.0),
}
OPTIONS: Mapping[str, Mapping[str, Any]] = {  # those that are not the defaults
    "fedadagrad": {"server_lr": 0.005},
    "fedadam": {"bias_correction": True},
    "fedavgm": {"momentum": 0.5},
    "qfedavg": {"q": 0.2},
}
LAST = 5  # rounds whose mean is told
TARGET = 0.8


@dataclass(frozen=True)
class Trial:
    """One session. data: a workload; split: as a partition is written."""

    data: str
    strategy: str
    split: str
    seed: int
    rounds: int

    @property
    def config(self) -> TrainConfig:
        return CONFIGS[self.data]

    @property
    def workload(self) -> TorchWorkload:
        found = WORKLOADS[self.data]
        assert isinstance(found, TorchWorkload)
        return found

    def build(self) -> Strategy:
        options = dict(OPTIONS.get(self.strategy, {}))
        if self.strategy == "qfedavg":
            options["local_lr"] = self.config.learning_rate
        return strategies.build(self.strategy, options)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"config": self.config, "strategy": self.build(), "clients": CLIENTS}


@dataclass(frozen=True)
class Learnt:
    """accuracy: on the test set, after each round. worst: the last model's, on the clients' data that fit it least."""

    accuracy: list[float]
    worst: float

    @property
    def final(self) -> float:
        return statistics.fmean(self.accuracy[-LAST:])

    @property
    def rounds_to_target(self) -> int | None:
        return next((number for number, value in enumerate(self.accuracy, 1) if value >= TARGET), None)


def shards(trial: Trial) -> list[Data]:
    """The examples of each client."""
    whole = trial.workload.training_data({}, None)
    wanted = partition.parse(trial.split)
    found = partition.all_shards(whole.labels, wanted, num_shards=CLIENTS, seed=trial.seed)
    return [whole.subset(indices) for indices in found]


def play(trial: Trial) -> dict[str, Any]:
    """Train a session. Returns what it learnt, as plain values."""
    import torch

    torch.set_num_threads(1)
    workload, data, strategy, rate = trial.workload, shards(trial), trial.build(), trial.config.learning_rate
    session = Session(workload, strategy, trial.seed, population=len(data), learning_rate=rate)
    kept = Kept.of(strategy, rate)
    accuracy = []
    with tempfile.TemporaryDirectory() as folder:
        for made in session.rounds(trial.rounds, Path(folder), partial(_updates, trial, strategy, data, kept)):
            last = weights.load(made.model)
            accuracy.append(workload.evaluate(last, {})["accuracy"])
        worst = min(_accuracy_of(trial, last, one) for one in data)
    return asdict(Learnt(accuracy, worst))


def _updates(
    trial: Trial, strategy: Strategy, data: Sequence[Data], kept: Kept, begun: Begun
) -> list[aggregation.UpdateFile]:
    """What each client trains of a model in a round."""
    files = []
    for client, own in enumerate(data):
        config = replace(
            trial.config,
            seed=sampling.client_seed(trial.seed, begun.number, f"client-{client}", 1),
            extra=strategy.client_config(),
            local=LocalOptions.read(strategy.local_options()),
            correction=kept.correction(client, begun.sent),
        )
        update = trial.workload.local_update(begun.base, own, {}, config, lambda *_: True)
        kept.keep(client, begun.sent, update)
        files.append(begun.file(client, update))
    return files


def _accuracy_of(trial: Trial, model: weights.Weights, data: Data) -> float:
    config, workload = replace(trial.config, validation_samples=len(data)), trial.workload
    found = workload.local_evaluation(model, data, {}, config, lambda *_: True)
    return found.metrics["accuracy"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=CONFIGS, default="digits")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=list(SPLITS))
    parser.add_argument("--strategies", nargs="+", choices=strategies.STRATEGIES, default=list(strategies.STRATEGIES))
    parser.add_argument("--kept", type=Path, metavar="FILE", help="of the sessions that are known")
    parser.add_argument("--processes", type=int, help="as many as cores if it is not given")
    args = parser.parse_args()
    trials = [
        Trial(args.data, strategy, SPLITS[split], seed, args.rounds)
        for split in args.splits
        for strategy in args.strategies
        for seed in range(1, args.seeds + 1)
    ]
    told = played.all_of(trials, play, processes=args.processes, kept=args.kept)
    learnt = {trial: Learnt(**one) for trial, one in told.items()}
    for split in args.splits:
        print(f"\n{args.data}, {split}, {CLIENTS} clients, {args.rounds} rounds, {args.seeds} seeds")
        print(f"{'strategy':17} {'accuracy':>16} {'worst client':>14} {'rounds to 80 %':>16}")
        for strategy in args.strategies:
            print(_row(strategy, [one for trial, one in learnt.items() if _is_of(trial, strategy, SPLITS[split])]))


def _is_of(trial: Trial, strategy: str, split: str) -> bool:
    return (trial.strategy, trial.split) == (strategy, split)


def _row(strategy: str, found: Sequence[Learnt]) -> str:
    finals = [100 * one.final for one in found]
    reached = [one.rounds_to_target for one in found]
    known = [number for number in reached if number is not None]
    soon = f"{np.mean(known):.1f}" if len(known) == len(reached) else f"{len(known)} of {len(reached)}"
    spread = (max(finals) - min(finals)) / 2
    worst = 100 * min(one.worst for one in found)
    return f"{strategy:17} {np.mean(finals):8.1f} ± {spread:3.1f} % {worst:12.1f} % {soon:>16}"


if __name__ == "__main__":
    main()
