"""Who is suspected in sessions on handwritten digits: honest clients whose data differ, and liars.

    .venv/bin/python benchmarks/suspicion.py [--rounds 15] [--seeds 3] [--splits dirichlet:0.1 ...] [--lies ALIE ...]
                                             [--strategy NAME] [--kept FILE] [--processes 2]

Eight honest clients and two more, which lie in one way or are honest as well. Prints how many of each were suspected at
any time, of all seeds together. A session with the strategy of robustness.py whose model diverges ends there.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]
os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks import lies, played, robustness  # noqa: E402
from benchmarks.in_process import Session  # noqa: E402
from benchmarks.robustness import CLIENTS, LIARS, NONE, STRATEGIES  # noqa: E402
from federation.fl import aggregation  # noqa: E402
from federation.fl.suspicion import PATIENCE, odd  # noqa: E402
from federation.fl.workloads.digits import Digits  # noqa: E402

SPLITS = ("iid", "dirichlet:0.5", "dirichlet:0.1", "shards:2")


@dataclass(frozen=True)
class Trial(robustness.Trial):
    split: str = robustness.SPLIT


def play(trial: Trial) -> dict[str, Any]:
    """The clients that were suspected, by number; the liars are the last ones."""
    workload, data = Digits(), robustness.shards(trial, trial.split)
    session = Session(workload, trial.build(), trial.seed)
    in_a_row, suspected = [0] * CLIENTS, set()
    with tempfile.TemporaryDirectory() as folder, suppress(aggregation.SpoiltModel):
        for done in session.rounds(trial.rounds, Path(folder), partial(robustness.updates, trial, workload, data)):
            for client, one in enumerate(odd(done.made.norms, done.made.alignments)):
                in_a_row[client] = in_a_row[client] + 1 if one else 0
                if in_a_row[client] == PATIENCE:
                    suspected.add(client)
    return {"suspected": sorted(suspected)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=list(SPLITS))
    parser.add_argument("--lies", nargs="+", choices=(NONE, *lies.LIES), default=[NONE, *lies.LIES])
    parser.add_argument("--strategy", choices=STRATEGIES, default="trimmed_mean, mixing")
    parser.add_argument("--kept", type=Path, metavar="FILE", help="of the sessions that are known")
    parser.add_argument("--processes", type=int, help="as many as cores if it is not given")
    args = parser.parse_args()
    trials = [
        Trial(args.strategy, lie, seed, args.rounds, split)
        for split in args.splits
        for lie in args.lies
        for seed in range(1, args.seeds + 1)
    ]
    told = played.all_of(trials, play, processes=args.processes, kept=args.kept)
    print(
        f"{args.strategy}, {CLIENTS} clients, {args.rounds} rounds, {args.seeds} seeds: suspected of the honest, liars"
    )
    print(f"{'':15}" + "".join(f"{lie:>18}" for lie in args.lies))
    for split in args.splits:
        print(f"{split:15}" + "".join(f"{_cell(told, split, lie):>18}" for lie in args.lies))


def _cell(told: Mapping[Trial, Mapping[str, Any]], split: str, lie: str) -> str:
    found = [one["suspected"] for trial, one in told.items() if (trial.split, trial.lie) == (split, lie)]
    liars = 0 if lie == NONE else LIARS
    honest = CLIENTS - liars
    of_honest = sum(client < honest for suspected in found for client in suspected)
    of_liars = sum(client >= honest for suspected in found for client in suspected)
    text = f"{of_honest} of {honest * len(found)}"
    return f"{text}, {of_liars} of {liars * len(found)}" if liars else text


if __name__ == "__main__":
    main()
