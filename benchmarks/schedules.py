"""What schedules save: idle time in a buffered session, and round times of over-selection against synchronous rounds.

    .venv/bin/python benchmarks/schedules.py [--seconds 1] [--rounds 10] [--clients 13]

First three fast agents and one that is ten times slower, buffered with a quorum of three: how long the fast ones are
idle between two pieces of work, beside the aggregation that falls into that time. Then agents of which each is a
straggler (ten times slower) in one work of ten at random: over-selection of 30 % against synchronous rounds that ask
only the quorum. Prints tables and, as its last line, the same as JSON.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from math import ceil
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import machine  # noqa: E402
from flsite import processes  # noqa: E402
from tests.e2e.stack import Stack, running  # noqa: E402

WORKLOAD = {"name": "synthetic", "options": {"num_parameters": 100_000}}
STRAGGLERS = 0.1
EXTRA = 0.3
LONGEST = 1800.0  # of one session, in seconds


def agent(stack: Stack, name: str, seconds: float, chance: float) -> None:
    command = [sys.executable, "benchmarks/paced_agent.py", str(stack.folder / f"{name}.timings")]
    command += [str(seconds), str(chance), "--server", stack.url, "--state", str(stack.folder / "agents" / name)]
    command += ["--join", stack.join_code, "--name", name, "--workload", "synthetic"]
    stack.agents[name] = processes.start(command, log=stack.folder / f"{name}.log", cwd=ROOT, env=stack.env)


def ended(stack: Stack, **settings: Any) -> list[dict[str, Any]]:
    """The events of a session that has run to its end."""
    session = stack.session(workload=WORKLOAD, round_seconds=600, **settings)
    state = stack.ended(session, seconds=LONGEST, every=0.5)
    if state["status"] != "completed":
        raise SystemExit(f"The session {state['status']}: {state['reason']}")
    return stack.events(session)


def idle(seconds: float, rounds: int) -> dict[str, Any]:
    """Seconds between two works of the fast agents, as they are and without the aggregation within them."""
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as stack:
        for number in (1, 2, 3):
            agent(stack, f"fast-{number}", seconds, 0.0)
        agent(stack, "slow", 10 * seconds, 0.0)
        stack.online(4)
        events = ended(stack, rounds=rounds, quorum=3, schedule={"name": "buffered"})
        gaps, net = [], []
        for number in (1, 2, 3):
            works = [json.loads(line) for line in (stack.folder / f"fast-{number}.timings").read_text().splitlines()]
            for before, after in zip(works, works[1:], strict=False):
                gap = after["began"] - before["ended"]
                gaps.append(gap)
                net.append(gap - aggregating(events, before["ended"], after["began"]))
    late = [e["payload"] for e in events if e["kind"] == "update.late"]
    return {"gaps": gaps, "net": net, "late": len(late), "counted_late": sum(bool(e["accepted"]) for e in late)}


def aggregating(events: Sequence[dict[str, Any]], begin: float, end: float) -> float:
    """For how many seconds between two moments a round was being aggregated."""
    spans = [(at(e) - e["payload"]["aggregation_seconds"], at(e)) for e in events if e["kind"] == "round.aggregated"]
    return sum(max(0.0, min(end, stop) - max(begin, start)) for start, stop in spans)


def at(event: dict[str, Any]) -> float:
    return datetime.fromisoformat(event["time"]).timestamp()


def round_times(seconds: float, rounds: int, clients: int) -> dict[str, list[float]]:
    """Seconds of each round, by schedule. Both need as many updates, of the same agents."""
    quorum = int(clients / (1 + EXTRA))
    assert ceil(round(quorum * (1 + EXTRA), 9)) <= clients
    found = {}
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as stack:
        for number in range(clients):
            agent(stack, f"site-{number:03}", seconds, STRAGGLERS)
        stack.online(clients)
        for schedule, more in (
            ("synchronous", {"cohort_size": quorum}),
            ("over_selected", {"schedule": {"name": "over_selected", "options": {"extra": EXTRA}}}),
        ):
            events = ended(stack, name=schedule, rounds=rounds, quorum=quorum, seed=7, **more)
            found[schedule] = [e["payload"]["seconds"] for e in events if e["kind"] == "round.completed"]
    return found


def line(name: str, values: Sequence[float]) -> str:
    shown = (statistics.median(values), statistics.mean(values), max(values))
    return f"  {name:<28} {shown[0]:8.3f} s median {shown[1]:8.3f} s mean {shown[2]:8.3f} s longest of {len(values)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0, help="that a fast agent trains")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--clients", type=int, default=13)
    options = parser.parse_args()
    print(f"{machine.describe()}\n")
    waits = idle(options.seconds, options.rounds)
    print("buffered, quorum 3: 3 fast agents and 1 ten times slower; the fast ones between two works")
    print(line("idle", waits["gaps"]))
    print(line("idle beside aggregation", waits["net"]))
    print(f"  late updates {waits['late']}, accepted and counted {waits['counted_late']}\n")
    times = round_times(options.seconds, options.rounds, options.clients)
    print(f"{options.clients} agents, a straggler in one work of ten: seconds a round")
    for schedule, seconds in times.items():
        print(line(schedule, seconds))
    print(json.dumps({"idle": waits, "round_times": times}))


if __name__ == "__main__":
    main()
