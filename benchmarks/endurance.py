"""A full-length session: what the server uses at round 100 and at the end, and what each round leaves on disk.

    .venv/bin/python benchmarks/endurance.py --rounds 1000 [--params 5000]

A real server on 127.0.0.1 and four real agents with the workload `synthetic`. Every figure is a median over
WINDOW rounds. Prints a table and, as its last line, the same as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import sqlite3
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import machine  # noqa: E402
from benchmarks.usage import family  # noqa: E402
from tests.e2e.stack import Stack  # noqa: E402

AGENTS = 4
WINDOW = 50  # rounds
FIRST = 100  # the round that the end is compared with


@dataclass(frozen=True, slots=True)
class Sample:
    """All processes of the server, and the agents' mean, after so many rounds."""

    round: int
    server_mb: float
    agent_mb: float
    files: int
    threads: int
    database_mb: float
    disk_mb: float


def take(stack: Stack, completed: int) -> Sample:
    server = family(stack.running["web"].pid)
    agents = [family(agent.pid)[0] for agent in stack.agents.values()]
    files = [file.stat().st_size for file in stack.folder.rglob("*") if file.is_file() and "agents" not in file.parts]
    return Sample(
        round=completed,
        server_mb=sum(process.memory_info().rss for process in server) / 1e6,
        agent_mb=statistics.mean(agent.memory_info().rss for agent in agents) / 1e6,
        files=sum(process.num_fds() for process in server),
        threads=sum(process.num_threads() for process in server),
        database_mb=database_bytes(stack.folder / "db.sqlite3") / 1e6,
        disk_mb=sum(files) / 1e6,
    )


def database_bytes(path: Path) -> int:
    """Of the pages in use, whatever waits in the log."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as database:
        count, free, size = (
            database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    return (count - free) * size


def run(stack: Stack, rounds: int, params: int) -> tuple[list[Sample], list[float]]:
    """Samples while it runs, and the seconds of each round."""
    for number in range(1, AGENTS + 1):
        stack.agent(f"site-{number}", "--workload", "synthetic")
    stack.online(AGENTS)
    workload = {"name": "synthetic", "options": {"num_parameters": params}}
    session = stack.session(workload=workload, rounds=rounds, quorum=AGENTS, cohort_size=AGENTS, round_seconds=600)
    samples: list[Sample] = []
    told = 0.0
    while (state := stack.get(f"/sessions/{session}"))["status"] == "running":
        samples.append(take(stack, state["completed_rounds"]))
        if time.monotonic() - told > 15:
            told = time.monotonic()
            print(f"round {state['completed_rounds']} of {rounds}", file=sys.stderr, flush=True)
        time.sleep(1)
    if state["status"] != "completed":
        raise SystemExit(f"The session {state['status']}: {state['reason']}")
    return samples, round_seconds(stack.events(session))


def round_seconds(events: list[dict[str, Any]]) -> list[float]:
    opened = [datetime.fromisoformat(e["time"]).timestamp() for e in events if e["kind"] == "round.opened"]
    return [after - before for before, after in zip(opened, opened[1:], strict=False)]


def middle(samples: list[Sample], seconds: list[float], end: int) -> dict[str, float]:
    """The medians over the WINDOW rounds that end with this one."""
    inside = [sample for sample in samples if end - WINDOW < sample.round <= end]
    if not inside:
        raise SystemExit(f"Nothing was sampled in the {WINDOW} rounds before round {end}: run more of them.")
    names = [name for name in Sample.__slots__ if name != "round"]  # type: ignore[attr-defined]
    found = {name: statistics.median(getattr(sample, name) for sample in inside) for name in names}
    return found | {"round_seconds": statistics.median(seconds[max(0, end - WINDOW) : end])}


def growth(samples: list[Sample], name: str) -> tuple[float, float]:
    """Kilobytes a round, in the first half after round FIRST and in the second."""
    later = [sample for sample in samples if sample.round >= FIRST]
    first, half, last = later[0], later[len(later) // 2], later[-1]

    def between(a: Sample, b: Sample) -> float:
        return (getattr(b, name) - getattr(a, name)) * 1000 / max(1, b.round - a.round)

    return between(first, half), between(half, last)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--params", type=int, default=5000)
    options = parser.parse_args()
    if options.rounds < FIRST + 2 * WINDOW:
        parser.error(f"--rounds {options.rounds}: choose {FIRST + 2 * WINDOW} or more")
    with tempfile.TemporaryDirectory() as folder:
        stack = Stack(Path(folder))
        try:
            stack.start()
            samples, seconds = run(stack, options.rounds, options.params)
        finally:
            stack.stop()
    half = max(FIRST + WINDOW, options.rounds // 2)
    early, later, late = (middle(samples, seconds, end) for end in (FIRST, half, options.rounds))
    print(f"{machine.describe()}\n{shlex.join([Path(sys.executable).name, *sys.argv])}\n")
    print(f"  {'':<16} {f'round {FIRST}':>12} {f'round {half}':>12} {f'round {options.rounds}':>12}")
    for name, before in early.items():
        print(f"  {name:<16} {before:>12.3f} {later[name]:>12.3f} {late[name]:>12.3f}   {late[name] / before - 1:+.1%}")
    grown = {name: growth(samples, name) for name in ("database_mb", "disk_mb")}
    for name, (first, second) in grown.items():
        print(f"  {name.removesuffix('_mb'):<16} grows by {first:.2f} kB a round, later by {second:.2f}")
    print(json.dumps({"first": early, "last": late, "growth_kb": grown, "samples": [asdict(s) for s in samples[-1:]]}))


if __name__ == "__main__":
    main()
