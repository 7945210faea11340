"""Whose model is better at a site: everybody's, its own, or something between? In this process, ten clients.

    python benchmarks/personal.py [--rounds 30] [--seeds 3] [--skews labels ...] [--methods fedavg ...] [--kept FILE]
                                  [--processes 2]

Handwritten digits, split over ten clients; a quarter of each client's examples is held out. The skews: `labels`, two
pieces of the data sorted by label a client, which is about two classes each; `mixed labels`, a Dirichlet distribution
of labels with concentration 0.5; `inputs`, an even split whose pixels every client sees in a brightness and contrast of
its own, some of them inverted. With `inputs` the network has batch normalization, as FedBN's has; otherwise group
normalization.

The methods: `alone`, where nothing is shared; `fedavg`; `fine-tuned`, FedAvg's last model after two epochs more at each
client; `fedper`, whose last layer stays; `fedbn`, whose normalization stays; and `ditto`. Every method has the same
weights at first, the same seeds, and the same epochs a round (Ditto's own model as many again). Prints the accuracy on
the held-out examples, the mean over the clients by examples, its spread over the seeds, and the worst client's.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from benchmarks import played  # noqa: E402
from federation.fl import aggregation, partition, roles, sampling, staying, strategies, weights  # noqa: E402
from federation.fl.local_options import LocalOptions  # noqa: E402
from federation.fl.weights import Weights  # noqa: E402
from federation.fl.workloads import TrainConfig  # noqa: E402
from federation.fl.workloads.digits import Digits  # noqa: E402
from federation.fl.workloads.workload import Data  # noqa: E402

if TYPE_CHECKING:
    import torch

CLIENTS = 10
SKEWS = {"labels": "shards:2", "mixed labels": "dirichlet:0.5", "inputs": "iid"}
METHODS: Mapping[str, Sequence[str]] = {  # patterns of what stays
    "alone": ("*",),
    "fedavg": (),
    "fine-tuned": (),
    "fedper": ("fc2.*",),
    "fedbn": ("norm*",),
    "ditto": (),
}
LAMBDA = 0.5
FINE_TUNING = 2  # epochs
CONFIG = TrainConfig(epochs=2, batch_size=16, learning_rate=0.03, seed=0, validation_fraction=0.25)
CONTRASTS = (1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 0.25, -0.25, 1.5, -1.5)  # of each client's pixels
BRIGHTNESSES = (0.0, 1.0, 0.5, 0.2, -0.5, 1.5, 2.0, -1.0, 0.8, 0.3)


class BatchNormalized(Digits):
    """The same network with batch normalization."""

    def network(self) -> torch.nn.Module:
        from torch import nn

        network = super().network()
        network.norm1, network.norm2 = nn.BatchNorm2d(32), nn.BatchNorm2d(64)
        return network


@dataclass(frozen=True)
class Trial:
    method: str
    skew: str
    seed: int
    rounds: int

    @property
    def settings(self) -> Mapping[str, Any]:
        own = {"stays": METHODS[self.method], "lambda": LAMBDA, "fine_tuning": FINE_TUNING}
        return own | {"config": CONFIG, "clients": CLIENTS, "inputs": (CONTRASTS, BRIGHTNESSES)}

    @property
    def workload(self) -> Digits:
        return BatchNormalized() if self.skew == "inputs" else Digits()


def shards(trial: Trial) -> list[Data]:
    """The examples of each client, as it sees them."""
    whole = trial.workload.training_data({}, None)
    wanted = partition.parse(SKEWS[trial.skew])
    found = partition.all_shards(whole.labels, wanted, num_shards=CLIENTS, seed=trial.seed)
    data = [whole.subset(indices) for indices in found]
    if trial.skew != "inputs":
        return data
    seen = zip(data, CONTRASTS, BRIGHTNESSES, strict=True)
    return [replace(one, features=np.float32(a) * one.features + np.float32(b)) for one, a, b in seen]


def play(trial: Trial) -> dict[str, Any]:
    """Train a session. Returns each client's accuracy with its own model, and its examples."""
    import torch

    torch.set_num_threads(1)
    workload, data = trial.workload, shards(trial)
    model = workload.initial_weights({}, trial.seed)
    stays = staying.matched(model, METHODS[trial.method])
    own: list[Weights] = [{} for _ in data]
    with tempfile.TemporaryDirectory() as name:
        for number in range(1, trial.rounds + 1):
            model = _round(trial, Path(name), number, model, data, own, stays)
    found = []
    for client, (one, kept) in enumerate(zip(data, own, strict=True)):
        mine = staying.personal(model, kept)
        if trial.method == "fine-tuned":
            config = replace(CONFIG, epochs=FINE_TUNING, seed=_seed(trial, trial.rounds + 1, client))
            mine = staying.trained(mine, _trained(trial, mine, one, config).delta, mine)
        measured = workload.local_evaluation(mine, one, {}, CONFIG, lambda *_: True)
        found.append((measured.metrics["accuracy"], measured.num_examples))
    return {"sites": found}


def _round(
    trial: Trial, folder: Path, number: int, model: Weights, data: Sequence[Data], own: list[Weights], stays: list[str]
) -> Weights:
    """The next shared model. own: what each client keeps, which is brought up to date."""
    files = []
    for client, one in enumerate(data):
        config = replace(CONFIG, seed=_seed(trial, number, client))
        mine = model if trial.method == "ditto" else staying.personal(model, own[client])
        update = _trained(trial, mine, one, config)
        if trial.method == "ditto":
            config = replace(config, local=LocalOptions(proximal_mu=LAMBDA), anchor=model)
            kept = own[client] or model
            own[client] = staying.trained(kept, _trained(trial, kept, one, config).delta, kept)
        else:
            own[client] = staying.trained(mine, update.delta, stays)
        delta = {name: array for name, array in update.delta.items() if name not in stays}
        weights.save(folder / f"update-{client}", delta)
        files.append(aggregation.UpdateFile(folder / f"update-{client}", update.num_examples))
    if len(stays) == len(model):
        return model
    weights.save(folder / "base", model)
    aggregation.aggregate(
        strategies.build("fedavg", {}),
        base=folder / "base",
        base_slots=None,
        updates=files,
        out=folder / "out",
        out_slots=folder / "slots",
        buffers=roles.buffers(weights.read_header(folder / "base")),
        stays=stays,
        on_block=lambda: None,
    )
    return weights.load(folder / "out")


def _trained(trial: Trial, model: Weights, data: Data, config: TrainConfig) -> Any:
    return trial.workload.local_update(model, data, {}, config, lambda *_: True)


def _seed(trial: Trial, number: int, client: int) -> int:
    return sampling.client_seed(trial.seed, number, f"client-{client}", 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--skews", nargs="+", choices=SKEWS, default=list(SKEWS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--kept", type=Path, metavar="FILE", help="of the sessions that are known")
    parser.add_argument("--processes", type=int, help="as many as cores if it is not given")
    args = parser.parse_args()
    trials = [
        Trial(method, skew, seed, args.rounds)
        for skew in args.skews
        for method in args.methods
        for seed in range(1, args.seeds + 1)
    ]
    told = played.all_of(trials, play, processes=args.processes, kept=args.kept)
    for skew in args.skews:
        print(f"\n{skew}, {CLIENTS} clients, {args.rounds} rounds, {args.seeds} seeds")
        print(f"{'method':12} {'accuracy':>16} {'worst client':>14}")
        for method in args.methods:
            print(
                _row(
                    method,
                    [one["sites"] for trial, one in told.items() if (trial.method, trial.skew) == (method, skew)],
                )
            )


def _row(method: str, seeds: Sequence[Sequence[tuple[float, int]]]) -> str:
    means = [100 * float(np.average([a for a, _ in one], weights=[n for _, n in one])) for one in seeds]
    worst = 100 * min(accuracy for one in seeds for accuracy, _ in one)
    return f"{method:12} {statistics.fmean(means):8.1f} ± {(max(means) - min(means)) / 2:3.1f} % {worst:12.1f} %"


if __name__ == "__main__":
    main()
