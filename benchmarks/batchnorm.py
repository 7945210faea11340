"""A ResNet-18 with BatchNorm through every strategy and encoding, with two agents of today and one of version 0.1.0.

    python benchmarks/batchnorm.py [--rounds 20] [--width 16] [--strategies fedavg ...] [--encodings none ...]

Each site trains in a process of its own with its version's code; this process does what the server does. Prints the
accuracy after 10 and 20 rounds, how many points it is from that without an encoding, the smallest running variance that
any model had, and whether the counter of batches was always the one that the clients' own give. float16 and int8 are
compared after 10 rounds and train no more; topk after 20. Ends with status 1 if a variance was negative, a counter
wrong, an evaluation not finite, or an encoding further from plain than `MOST_POINTS`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]

from benchmarks import batchnorm_site as site  # noqa: E402
from federation.fl import aggregation, encodings, sampling, strategies, weights  # noqa: E402
from federation.fl.files import updates  # noqa: E402

FIRST_VERSION = ROOT / "tests/fixtures/0.1.0/agent.zip"
SITES = (ROOT, ROOT, FIRST_VERSION)  # whose code each of them runs
# Those whose clients keep a state need more than the sites of this benchmark have.
PLAYED = [name for name, strategy in strategies.STRATEGIES.items() if not strategy.keeps_at_clients]
OPTIONS: Mapping[str, Mapping[str, float]] = {"fedadam": {"server_lr": 0.03}}
CONFIG = {"epochs": 2, "batch_size": 16, "learning_rate": 0.05}
ENOUGH = {"float16": 10, "int8": 10}  # rounds, where the first ones show whether an encoding harms; else all
MOST_POINTS = {"float16": 2.0, "int8": 2.0, "topk": 5.0}  # of accuracy below plain, after an encoding's last round
MEASURED = (10, 20)  # rounds after which models are measured


class Site:
    """A site's process. It answers each work with the path of an update."""

    def __init__(self, code: Path, number: int, folder: Path, width: int) -> None:
        env = {**os.environ, "PYTHONPATH": str(code), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(ROOT / "benchmarks/batchnorm_site.py"), str(folder), f"{number}/{len(SITES)}"]
        self.is_of_before = code == FIRST_VERSION
        self.process = subprocess.Popen(
            [*command, str(width)], env=env, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, work: Mapping[str, Any], base: Path) -> None:
        assert self.process.stdin
        print(json.dumps({"work": work, "base": str(base)}), file=self.process.stdin, flush=True)

    def answer(self) -> Path:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"a site ended with status {self.process.wait()}")
        return Path(line.strip())


@contextmanager
def sites(folder: Path, width: int) -> Iterator[list[Site]]:
    found = []
    try:
        for number, code in enumerate(SITES, start=1):
            own = folder / f"site-{number}"
            own.mkdir()
            found.append(Site(code, number, own, width))
        yield found
    finally:
        for one in found:
            one.process.kill()


def work(session: str, round_: int, number: int, base: Path, buffers: list[str], encoding: str) -> dict[str, Any]:
    digest = hashlib.sha256(base.read_bytes()).hexdigest()
    return {
        "participation": f"{round_}-{number}",
        "kind": "train",
        "session": {"id": session, "name": session},
        "round": round_,
        "workload": {"name": site.ResNet18.name, "digest": site.DIGEST, "options": {}},
        "config": CONFIG | {"seed": sampling.client_seed(1, round_, f"site-{number}")},
        "base_model": {"digest": digest, "num_bytes": base.stat().st_size, "url": "/"},
        "update_url": "/",
        "part_bytes": 1,
        "max_put_bytes": 1,
        "encoding": encoding,
        "encoding_options": {},
        "buffers": buffers,
    }


class Run:
    """One session: its models in order, and what was wrong with them."""

    def __init__(self, folder: Path, strategy: str, encoding: str, workload: site.ResNet18) -> None:
        self.folder, self.workload, self.session = folder, workload, f"{strategy}-{encoding}"
        self.strategy = strategies.build(strategy, OPTIONS.get(strategy, {}))
        self.encoding = encodings.build(encoding, {})
        self.model, self.slots = folder / "model-0", None
        workload.write_initial(self.model, {}, 1)
        self.buffers = list(workload.buffers({}))
        self.lowest, self.wrong = math.inf, 0

    def round(self, number: int, everyone: list[Site]) -> None:
        for place, one in enumerate(everyone, start=1):
            plain = one.is_of_before or self.encoding.name == encodings.NONE.name
            offered = encodings.PLAIN if plain else self.encoding.name
            one.ask(work(self.session, number, place, self.model, self.buffers, offered), self.model)
        files = [self.taken(one.answer()) for one in everyone]
        out, out_slots = self.folder / f"model-{number}", self.folder / f"slots-{number}"
        aggregation.aggregate(
            self.strategy,
            base=self.model,
            base_slots=self.slots,
            updates=files,
            out=out,
            out_slots=out_slots,
            buffers=self.buffers,
            on_block=lambda: None,
        )
        self.look(weights.load(out), weights.load(self.model), files)
        self.model, self.slots = out, out_slots if self.strategy.slots else None

    def taken(self, path: Path) -> aggregation.UpdateFile:
        digest = hashlib.sha256(self.model.read_bytes()).hexdigest()
        seen = updates.check(
            path,
            base=weights.read_header(self.model),
            base_digest=digest,
            encoding=self.encoding,
            buffers=self.buffers,
            model=self.model,
            sender=path.parent.name,
        )
        return aggregation.UpdateFile(path, seen.num_examples, norm=seen.norm)

    def look(self, new: weights.Weights, base: weights.Weights, files: list[aggregation.UpdateFile]) -> None:
        self.lowest = min(self.lowest, *(float(new[name].min()) for name in new if name.endswith("running_var")))
        shares = np.array([file.num_examples for file in files], np.float64)
        for name in (name for name in new if name.endswith("num_batches_tracked")):
            own = np.array([int(base[name]) + _steps(file.path, name) for file in files])
            mean = np.median(own) if self.strategy.name == "fedmedian" else own @ (shares / shares.sum())
            self.wrong += int(new[name]) != int(np.rint(mean))

    def accuracy(self) -> float:
        found = self.workload.evaluate(weights.load(self.model), {})
        return found["accuracy"] if all(math.isfinite(value) for value in found.values()) else math.nan


def _steps(update: Path, name: str) -> int:
    tensors = weights.load(update)
    return int(tensors[name] if name in tensors else tensors[f"values/{name}"])


def trained(
    strategy: str, encoding: str, rounds: int, workload: site.ResNet18, everyone: list[Site]
) -> tuple[Run, dict[int, float]]:
    """One session. Returns it with the accuracy after some rounds, and after the last one."""
    measured = {}
    with tempfile.TemporaryDirectory() as folder:
        run = Run(Path(folder), strategy, encoding, workload)
        for number in range(1, rounds + 1):
            run.round(number, everyone)
            if number in (*MEASURED, rounds):
                measured[number] = run.accuracy()
    return run, measured


def beside(plain: Mapping[int, float], measured: Mapping[int, float]) -> float | None:
    """Points of accuracy after the last round, beside the session without an encoding; None without that."""
    last = max(measured)
    return 100 * (measured[last] - plain[last]) if last in plain else None


def line(run: Run, measured: Mapping[int, float], points: float | None, seconds: float) -> str:
    strategy, _, encoding = run.session.partition("-")
    shown = [f"{measured[number]:9.3f}" if number in measured else f"{'-':>9}" for number in MEASURED]
    difference = f"{'-':>12}" if points is None else f"{points:+12.1f}"
    counter = "right" if not run.wrong else f"wrong {run.wrong} times"
    return (
        f"{strategy:10} {encoding:9} {' '.join(shown)} {difference} {run.lowest:16.3g}  {counter:15} {seconds:7.0f} s"
    )


def is_bad(run: Run, measured: Mapping[int, float], points: float | None) -> bool:
    if run.wrong or run.lowest < 0 or not all(math.isfinite(value) for value in measured.values()):
        return True
    return points is not None and points < -MOST_POINTS.get(run.encoding.name, math.inf)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--width", type=int, default=16, help="channels of the first stage; 64 is the paper's")
    parser.add_argument("--strategies", nargs="+", default=PLAYED)
    parser.add_argument("--encodings", nargs="+", default=list(encodings.ENCODINGS))
    asked = parser.parse_args()
    workload, bad = site.ResNet18(asked.width), 0
    heads = f"{'10 rounds':>9} {'20 rounds':>9} {'beside plain':>12} {'lowest variance':>16}  counter"
    print(f"{'strategy':10} {'encoding':9} {heads}")
    with tempfile.TemporaryDirectory() as folder, sites(Path(folder), asked.width) as everyone:
        for strategy in asked.strategies:
            plain: dict[int, float] = {}
            for encoding in sorted(asked.encodings, key=lambda name: name != encodings.NONE.name):
                began, rounds = time.monotonic(), min(asked.rounds, ENOUGH.get(encoding, asked.rounds))
                run, measured = trained(strategy, encoding, rounds, workload, everyone)
                plain = measured if encoding == encodings.NONE.name else plain
                points = beside(plain, measured) if plain is not measured else None
                print(line(run, measured, points, time.monotonic() - began), flush=True)
                bad += is_bad(run, measured, points)
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
