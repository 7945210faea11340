"""What each strategy learns, in this process: ten clients, three ways to split the data.

    python benchmarks/learning.py [--data digits] [--rounds 30] [--seeds 3] [--splits iid ...] [--strategies fedavg ...]
                                  [--kept FILE] [--processes 2]

The splits: evenly; by a Dirichlet distribution of labels with concentration 0.1; and two pieces of the data sorted by
label a client, which is about two classes each. Every strategy begins with the same weights and trains with the same
seeds. Prints, for each split and strategy, the mean accuracy on the central test set over the last five rounds and
its spread over the seeds, the worst client's, and the rounds to 80 %. `--kept FILE` keeps each session's curve as a
line of JSON, and plays only those that are not in it. With digits a round takes
about half a second of a core, with Fashion-MNIST (`--data fashion_mnist`, with the network 2NN and one epoch) about
three; its files must be where the workload looks for them.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from benchmarks import played  # noqa: E402
from federation.fl import aggregation, client_state, partition, sampling, strategies, weights  # noqa: E402
from federation.fl.client_state import Rule, Trained  # noqa: E402
from federation.fl.local_options import LocalOptions  # noqa: E402
from federation.fl.strategies import Strategy  # noqa: E402
from federation.fl.workloads import WORKLOADS, TrainConfig  # noqa: E402
from federation.fl.workloads.training import TorchWorkload  # noqa: E402
from federation.fl.workloads.workload import Data, LocalUpdate  # noqa: E402

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
    whole = trial.workload.training_data(trial.workload.checked({}), None)
    wanted = partition.parse(trial.split)
    found = partition.all_shards(whole.labels, wanted, num_shards=CLIENTS, seed=trial.seed)
    return [whole.subset(indices) for indices in found]


def play(trial: Trial) -> dict[str, Any]:
    """Train a session. Returns what it learnt, as plain values."""
    import torch

    torch.set_num_threads(1)
    workload, data, strategy = trial.workload, shards(trial), trial.build()
    rule = client_state.rule_of(strategy.client_config())
    accuracy, kept = [], Kept(rule, trial.config.learning_rate, [{} for _ in data])
    options = workload.checked({})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model, slots = folder / "model-0", None
        workload.write_initial(model, options, trial.seed)
        for number in range(1, trial.rounds + 1):
            kept.receive(slots, strategy.sends)
            updates = list(_updates(trial, strategy, data, kept, number, model, folder))
            out, out_slots = folder / f"model-{number}", folder / f"slots-{number}"
            made = aggregation.aggregate(
                strategy,
                base=model,
                base_slots=slots,
                updates=updates,
                out=out,
                out_slots=out_slots,
                buffers=(),
                population=len(data),
                learning_rate=trial.config.learning_rate,
                on_block=lambda: None,
            )
            model, slots = out, out_slots if made.slots_digest else None
            accuracy.append(workload.evaluate(weights.load(model), options)["accuracy"])
        worst = min(_accuracy_of(trial, weights.load(model), one) for one in data)
    return asdict(Learnt(accuracy, worst))


@dataclass
class Kept:
    """What a strategy has the clients keep, and the slot that it sends them."""

    rule: Rule | None
    learning_rate: float
    own: list[weights.Weights]
    sent: weights.Weights = field(default_factory=dict)

    def receive(self, slots: Path | None, slot: str) -> None:
        if slots and slot:
            found = weights.load(slots)
            self.sent = {name.removeprefix(f"{slot}/"): array for name, array in found.items() if f"{slot}/" in name}

    def correction(self, client: int) -> weights.Weights:
        return self.rule.correction(self.own[client], self.sent) if self.rule else {}

    def keep(self, client: int, update: LocalUpdate) -> None:
        if self.rule and update.local_steps:
            delta = client_state.in_float64(update.delta, ())
            trained = Trained(delta, update.local_steps, self.learning_rate)
            self.own[client] = self.rule.after(self.own[client], self.sent, trained)


def _updates(
    trial: Trial, strategy: Strategy, data: Sequence[Data], kept: Kept, number: int, model: Path, folder: Path
) -> Iterator[aggregation.UpdateFile]:
    """What each client trains of a model in a round."""
    base, workload = weights.load(model), trial.workload
    for client, own in enumerate(data):
        config = replace(
            trial.config,
            seed=sampling.client_seed(trial.seed, number, f"client-{client}", 1),
            extra=strategy.client_config(),
            local=LocalOptions.read(strategy.local_options()),
            correction=kept.correction(client),
        )
        update = workload.local_update(base, own, workload.checked({}), config, lambda *_: True)
        kept.keep(client, update)
        path = folder / f"update-{client}"
        told = {"local_steps": repr(update.local_steps), "base_train_loss": repr(update.base_train_loss)}
        weights.save(path, update.delta, told)
        yield aggregation.UpdateFile(path, update.num_examples)


def _accuracy_of(trial: Trial, model: weights.Weights, data: Data) -> float:
    config, workload = replace(trial.config, validation_samples=len(data)), trial.workload
    found = workload.local_evaluation(model, data, workload.checked({}), config, lambda *_: True)
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
