"""What robust strategies keep of a model's accuracy while two of ten clients lie, on handwritten digits.

    .venv/bin/python benchmarks/robustness.py [--rounds 30] [--seeds 3] [--lies ALIE ...] [--strategies fedavg ...]
                                                [--kept FILE] [--processes 2]

The data are split by a Dirichlet distribution of labels with concentration 0.5. Prints for each strategy the mean
accuracy over the last five rounds, without lies and under each, in percent, and half of what lies between the best and
the worst seed. The mark > means that it is more than 2 points below the same strategy undisturbed, ! that it is more
than 5 below undisturbed FedAvg. A model that diverges until it cannot be stored counts as guessing. It takes about half
a second of a core for each round. `--kept FILE` keeps each session as a line of JSON, and plays only those that are not
in it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from benchmarks import lies, played  # noqa: E402
from benchmarks.in_process import Begun, Session  # noqa: E402
from federation.fl import aggregation, partition, sampling, strategies, weights  # noqa: E402
from federation.fl.strategies import Strategy  # noqa: E402
from federation.fl.workloads import TrainConfig, digit_images  # noqa: E402
from federation.fl.workloads.digits import Digits  # noqa: E402
from federation.fl.workloads.workload import Data, LocalUpdate  # noqa: E402

CLIENTS, LIARS, SPLIT = 10, 2, "dirichlet:0.5"
CONFIG = TrainConfig(epochs=2, batch_size=16, learning_rate=0.03, seed=0, validation_fraction=0.0)
NONE = "no lie"
GUESSING = 10.0  # percent, of ten digits
LAST = 5  # rounds whose mean is told
OWN_LOSS, LOSS = 2.0, 5.0  # points of accuracy
STRATEGIES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "fedavg": ("fedavg", {}),
    "trimmed_mean, mixing": ("trimmed_mean", {"liars": LIARS, "before": "mixing"}),
    "multi_krum, mixing": ("multi_krum", {"liars": LIARS, "before": "mixing"}),
    "fedmedian, mixing": ("fedmedian", {"liars": LIARS, "before": "mixing"}),
    "geometric_median, mixing": ("geometric_median", {"liars": LIARS, "before": "mixing"}),
    "fedmedian": ("fedmedian", {}),
    "trimmed_mean": ("trimmed_mean", {"liars": LIARS}),
    "krum": ("krum", {"liars": LIARS}),
    "multi_krum": ("multi_krum", {"liars": LIARS}),
    "bulyan": ("bulyan", {"liars": 1}),  # ten updates do not bear two liars
    "geometric_median": ("geometric_median", {}),
    "centered_clipping": ("centered_clipping", {"liars": LIARS}),
    "norm_clipping": ("norm_clipping", {"liars": LIARS}),
}


@dataclass(frozen=True)
class Trial:
    strategy: str
    lie: str
    seed: int
    rounds: int

    def build(self) -> Strategy:
        name, options = STRATEGIES[self.strategy]
        return strategies.build(name, options)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {"strategy": self.build(), "config": CONFIG, "clients": CLIENTS, "liars": LIARS, "split": SPLIT}


def play(trial: Trial) -> dict[str, Any]:
    """The accuracy after each round, in percent; whether the model was spoilt after them."""
    import torch

    torch.set_num_threads(1)
    workload, data, accuracy = Digits(), shards(trial), []
    try:
        with tempfile.TemporaryDirectory() as folder:
            session = Session(workload, trial.build(), trial.seed)
            for made in session.rounds(trial.rounds, Path(folder), partial(updates, trial, workload, data)):
                accuracy.append(100 * workload.evaluate(weights.load(made.model), {})["accuracy"])
    except aggregation.SpoiltModel:
        return {"accuracy": accuracy, "spoilt": True}
    return {"accuracy": accuracy, "spoilt": False}


def final(told: Mapping[str, Any]) -> float:
    return GUESSING if told["spoilt"] else statistics.fmean(told["accuracy"][-LAST:])


def shards(trial: Trial, split: str = SPLIT) -> list[Data]:
    """Each client's examples, the liars' last; these may have other labels."""
    whole = digit_images.load("train")
    members = partition.all_shards(whole.labels, partition.parse(split), num_shards=CLIENTS, seed=trial.seed)
    found = [whole.subset(indices) for indices in members]
    if trial.lie == lies.FLIPPED:
        found[-LIARS:] = [replace(one, labels=9 - one.labels) for one in found[-LIARS:]]
    return found


def updates(trial: Trial, workload: Digits, data: Sequence[Data], begun: Begun) -> list[aggregation.UpdateFile]:
    """What the clients send in a round; the liars are the last ones."""
    trained = []
    for client, own in enumerate(data):
        config = replace(CONFIG, seed=sampling.client_seed(trial.seed, begun.number, f"client-{client}"))
        trained.append(workload.local_update(begun.base, own, {}, config, lambda *_: True))
    honest = [update.delta for update in trained[:-LIARS]]
    return [begun.file(client, _sent(trial, client, honest, update)) for client, update in enumerate(trained)]


def _sent(trial: Trial, client: int, honest: Sequence[lies.Delta], update: LocalUpdate) -> LocalUpdate:
    if client < CLIENTS - LIARS or trial.lie == NONE:
        return update
    examples = lies.EXAMPLES if trial.lie == lies.CLAIMING else update.num_examples
    return replace(update, delta=lies.sent(trial.lie, honest, update.delta, LIARS), num_examples=examples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--lies", nargs="+", choices=lies.LIES, default=list(lies.LIES))
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    parser.add_argument("--kept", type=Path, metavar="FILE", help="of the sessions that are known")
    parser.add_argument("--processes", type=int, help="as many as cores if it is not given")
    args = parser.parse_args()
    chosen = list(dict.fromkeys(["fedavg", *args.strategies]))
    trials = [
        Trial(strategy, lie, seed, args.rounds)
        for strategy in chosen
        for lie in (NONE, *args.lies)
        for seed in range(1, args.seeds + 1)
    ]
    told = played.all_of(trials, play, processes=args.processes, kept=args.kept)
    learnt = {trial: final(one) for trial, one in told.items()}
    print(f"{LIARS} of {CLIENTS} clients lie, {SPLIT}, {args.rounds} rounds, {args.seeds} seeds")
    print(f"{'':26}" + "".join(f"{lie:>16}" for lie in (NONE, *args.lies)))
    fedavg = _mean(learnt, "fedavg", NONE)
    for strategy in chosen:
        own = _mean(learnt, strategy, NONE)
        cells = [_cell(_seeds(learnt, strategy, lie), own, fedavg) for lie in (NONE, *args.lies)]
        print(f"{strategy:26}" + "".join(f"{cell:>16}" for cell in cells))


def _seeds(learnt: Mapping[Trial, float], strategy: str, lie: str) -> list[float]:
    return [one for trial, one in learnt.items() if (trial.strategy, trial.lie) == (strategy, lie)]


def _mean(learnt: Mapping[Trial, float], strategy: str, lie: str) -> float:
    return statistics.fmean(_seeds(learnt, strategy, lie))


def _cell(seeds: Sequence[float], own: float, fedavg: float) -> str:
    accuracy, spread = statistics.fmean(seeds), (max(seeds) - min(seeds)) / 2
    marks = (">" if accuracy < own - OWN_LOSS else "") + ("!" if accuracy < fedavg - LOSS else "")
    return f"{marks} {accuracy:.1f} ± {spread:.1f}"


if __name__ == "__main__":
    main()
