"""What a script's round takes beside a built-in workload's with the same training, in one server, by turns.

    .venv/bin/python benchmarks/scripts.py [--pairs 5] [--rounds 8] [--sites 2] [--epochs 1]

Each pair is a session of the built-in digits and one of a script that calls the same training (digits_script.py).
Prints each pair's seconds a round (medians), their ratio, and the median of the ratios.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import machine  # noqa: E402
from tests.e2e.stack import Stack, running, until  # noqa: E402

SCRIPT = ROOT / "benchmarks" / "digits_script.py"
WORKLOADS = ("digits", "digits-script")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--sites", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=1)
    options = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as stack:
        begin(stack, options.sites)
        for name in WORKLOADS:
            seconds_a_round(stack, name, options, rounds=2)  # the first session loads libraries and data
        ratios = [pair(stack, options, number) for number in range(1, options.pairs + 1)]
    print(f"median ratio {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})")


def begin(stack: Stack, sites: int) -> None:
    for n in range(1, sites + 1):
        stack.agent(f"agent-{n}", "--partition", "iid", "--shard", f"{n}/{sites}")
        stack.script(f"script-{n}", SCRIPT, str(n), str(sites))
    stack.online(2 * sites)
    until(lambda: [len(one["clients"]) for one in stack.get("/workloads")["items"] if one["name"] == WORKLOADS[1]])


def pair(stack: Stack, options: argparse.Namespace, number: int) -> float:
    """The ratio of a script's round to a built-in workload's. Which comes first alternates."""
    found = {name: seconds_a_round(stack, name, options) for name in WORKLOADS[:: 1 if number % 2 else -1]}
    built_in, script = (found[name] for name in WORKLOADS)
    print(f"pair {number}: built-in {built_in:.3f} s a round, script {script:.3f} s, ratio {script / built_in:.3f}")
    return script / built_in


def seconds_a_round(stack: Stack, name: str, options: argparse.Namespace, rounds: int = 0) -> float:
    """The median of a session's rounds, each from its opening to the next one's."""
    train: dict[str, Any] = {"epochs": options.epochs, "batch_size": 8, "learning_rate": 0.03}
    session = stack.session(
        workload={"name": name, "options": {}},
        rounds=rounds or options.rounds,
        quorum=options.sites,
        cohort_size=options.sites,
        seed=7,
        train=train,
    )
    assert stack.ended(session, seconds=600)["status"] == "completed"
    opened = [row["opened_at"] for row in stack.get(f"/sessions/{session}/rounds", limit=1000)["items"]]
    return statistics.median(between(*pair) for pair in zip(opened, opened[1:], strict=False))


def between(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


if __name__ == "__main__":
    main()
