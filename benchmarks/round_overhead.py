"""How long a round takes beyond its slowest client's own work, with real agents on the embedded default.

    .venv/bin/python benchmarks/round_overhead.py [--clients 4] [--rounds 10]

Prints a line a round and the median. A client's own work lasts from its taking the seat to its report.
"""

import argparse
import os
import statistics
import sys
import tempfile
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.e2e.stack import Stack, running  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as stack:
        for n in range(1, options.clients + 1):
            stack.agent(f"site-{n}", "--partition", "dirichlet:0.5", "--shard", f"{n}/{options.clients}")
        stack.online(options.clients)
        show(measure(stack, options.clients, options.rounds))


def measure(stack: Stack, clients: int, rounds: int) -> list[tuple[float, float]]:
    """(seconds of the round until the next one opened, seconds of its slowest client) for each round but the last."""
    workload = {"name": "digits", "options": {}}
    session = stack.session(workload=workload, rounds=rounds, quorum=clients, cohort_size=clients)
    assert stack.ended(session, seconds=600)["status"] == "completed"
    rows = stack.get(f"/sessions/{session}/rounds", limit=1000)["items"]
    found = []
    for row, following in zip(rows, rows[1:], strict=False):
        slowest = max(between(seat["taken_at"], seat["reported_at"]) for seat in row["participations"])
        found.append((between(row["opened_at"], following["opened_at"]), slowest))
    return found


def between(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def show(found: list[tuple[float, float]]) -> None:
    for number, (whole, slowest) in enumerate(found, start=1):
        print(f"round {number:>3}: {whole:6.3f} s, slowest client {slowest:6.3f} s, overhead {whole - slowest:6.3f} s")
    overheads = [whole - slowest for whole, slowest in found]
    print(f"median overhead {statistics.median(overheads):.3f} s, worst {max(overheads):.3f} s, {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
