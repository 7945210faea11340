"""What a round costs: a real server on 127.0.0.1, real agents as processes of their own, weights of any size.

    .venv/bin/python benchmarks/rounds.py --clients 10 --params 25000000 --rounds 5
        [--server daphne|uvicorn] [--strategy fedavg|fedmedian|fedadam] [--compression none|float16|int8|topk]
        [--warm 1]

Prints a table and, as its last line, the same as JSON. The clients' own work (the workload `synthetic`: noise
written to a file) counts into the round. The first rounds are left out (`--warm`): in the first one everybody waits
for everybody to begin, and until FL_KEEP_UPDATES (5) rounds are over, the server has no file to write over. CPU
seconds are those of all rounds, divided by their number.
"""

import argparse
import contextlib
import json
import shlex
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import machine, usage  # noqa: E402
from federation.fl import encodings, strategies  # noqa: E402
from flsite import processes  # noqa: E402
from tests.e2e.stack import Stack, daphne, uvicorn  # noqa: E402

STEPS = ("offer", "download", "client", "upload", "aggregate", "publish")
AGENT_SECONDS = 600
SERVERS = {"daphne": daphne, "uvicorn": uvicorn}


@dataclass
class Result:
    """seconds: of each measured round, from its opening to the next one's. steps: median seconds of each step."""

    clients: int
    params: int
    server: str
    strategy: str
    compression: str
    seconds: list[float]
    steps: dict[str, float]
    server_peak_mb: float
    client_peak_mb: float
    mb_down: float
    mb_up: float
    server_cpu: float  # seconds a round
    client_cpu: float  # of all clients together
    limits: dict[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    @property
    def over_loopback(self) -> float:
        """How many times as long as sending the round's bytes over one loopback connection."""
        return self.median / ((self.mb_down + self.mb_up) / 1000 / self.limits["loopback"])


def measure(
    *,
    clients: int,
    params: int,
    rounds: int,
    server: str = "daphne",
    strategy: str = "fedavg",
    compression: str = "none",
    warm: int = 1,
    folder: Path | None = None,
) -> Result:
    """Run `rounds` measured rounds, after `warm` that are not."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary, _running(Path(temporary), server) as stack:
        agents = [_agent(stack, f"site-{n:03}") for n in range(1, clients + 1)]
        stack.online(clients)
        before = _cpu_seconds(stack)
        session = stack.session(
            workload={"name": "synthetic", "options": {"num_parameters": params}},
            strategy={"name": strategy},
            compression={"name": compression},
            rounds=rounds + warm + 1,
            quorum=clients,
            cohort_size=clients,
            round_seconds=AGENT_SECONDS,
        )
        state = stack.ended(session, seconds=AGENT_SECONDS, every=1.0)
        if state["status"] != "completed":
            raise SystemExit(f"The session {state['status']}: {state['reason']}")
        server_cpu, client_cpu = (
            (after - then) / (rounds + warm + 1) for then, after in zip(before, _cpu_seconds(stack), strict=True)
        )
        result = Result(
            clients=clients,
            params=params,
            server=server,
            strategy=strategy,
            compression=compression,
            **_timings(stack, session, warm),
            server_cpu=server_cpu,
            client_cpu=client_cpu,
            server_peak_mb=machine.peak_mb(_family(stack.running["web"].pid)),
            client_peak_mb=max(machine.peak_mb([agent.pid]) for agent in agents),
        )
    return result


@contextlib.contextmanager
def _running(folder: Path, server: str) -> Iterator[Stack]:
    stack = Stack(folder, web=SERVERS[server])
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


def _agent(stack: Stack, name: str) -> Any:
    state = stack.folder / "agents" / name
    command = [sys.executable, "benchmarks/timed_agent.py", str(_timings_file(stack, name))]
    command += ["--server", stack.url, "--state", str(state), "--join", stack.join_code, "--name", name]
    command += ["--workload", "synthetic"]
    stack.agents[name] = processes.start(command, log=stack.folder / f"{name}.log", cwd=ROOT, env=stack.env)
    return stack.agents[name]


def _timings_file(stack: Stack, name: str) -> Path:
    return stack.folder / f"{name}.timings"


def _family(pid: int) -> list[int]:
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def _cpu_seconds(stack: Stack) -> tuple[float, float]:
    """What the server and all agents used so far."""
    agents = [agent.pid for agent in stack.agents.values()]
    return usage.cpu_seconds([stack.running["web"].pid]), usage.cpu_seconds(agents)


def _timings(stack: Stack, session: str, warm: int) -> dict[str, Any]:
    """Seconds a round and of its steps, and megabytes a round, without the first rounds and the last."""
    events = stack.events(session)
    opened = _times(events, "round.opened")
    measured = sorted(opened)[warm:-1]
    last_update = _times(events, "update.received")  # the last one of each round stays
    aggregation = {
        e["payload"]["round"]: e["payload"]["aggregation_seconds"] for e in events if e["kind"] == "round.aggregated"
    }
    found: dict[str, list[float]] = {step: [] for step in STEPS}
    for file in stack.folder.glob("*.timings"):
        for line in file.read_text().splitlines():
            row = json.loads(line)
            if row["round"] in measured:
                found["offer"].append(row["began"] - opened[row["round"]])
                for step in ("download", "client", "upload"):
                    found[step].append(row.get(step, 0.0))
    for number in measured:
        found["aggregate"].append(aggregation[number])
        found["publish"].append(opened[number + 1] - last_update[number] - aggregation[number])
    sent = [e["payload"] for e in events if e["kind"] == "update.received" and e["payload"]["round"] in measured]
    model_mb = stack.get(f"/sessions/{session}/models", limit=1)["items"][0]["num_bytes"] / 1e6
    return {
        "seconds": [opened[number + 1] - opened[number] for number in measured],
        "steps": {step: statistics.median(values) for step, values in found.items()},
        "mb_down": model_mb * len(sent) / len(measured),
        "mb_up": sum(each["num_bytes"] for each in sent) / 1e6 / len(measured),
    }


def _times(events: list[dict[str, Any]], kind: str) -> dict[int, float]:
    """Seconds since the epoch at which a kind of event came last, by round."""
    return {e["payload"]["round"]: datetime.fromisoformat(e["time"]).timestamp() for e in events if e["kind"] == kind}


def show(result: Result) -> None:
    print(f"{machine.describe()}\n{shlex.join([Path(sys.executable).name, *sys.argv])}\n")
    what = f"{result.server}, {result.strategy}, compression {result.compression}"
    print(f"{result.clients} clients x {result.params:,} parameters, {what}")
    shortest, longest = min(result.seconds), max(result.seconds)
    print(
        f"  a round            {result.median:8.3f} s median of {len(result.seconds)} ({shortest:.3f} to {longest:.3f})"
    )
    for step, seconds in result.steps.items():
        print(f"    {step:<16} {seconds:8.3f} s")
    print(f"  CPU of the server  {result.server_cpu:8.3f} s a round, of all clients {result.client_cpu:.3f} s")
    print(f"  on the wire        {result.mb_down:8.1f} MB down, {result.mb_up:.1f} MB up a round")
    print(f"  server, peak       {result.server_peak_mb:8.0f} MB (all its processes)")
    print(f"  a client, peak     {result.client_peak_mb:8.0f} MB")
    for name, rate in result.limits.items():
        print(f"  machine: {name:<9} {rate:8.1f} GB/s")
    print(f"  {result.over_loopback:.1f} times what its bytes take over one loopback connection\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=10)
    parser.add_argument("--params", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--server", choices=tuple(SERVERS), default="daphne")
    parser.add_argument("--strategy", choices=tuple(strategies.STRATEGIES), default="fedavg")
    parser.add_argument("--compression", choices=tuple(encodings.ENCODINGS), default="none")
    parser.add_argument("--warm", type=int, default=1, help="rounds before those that are measured")
    options = vars(parser.parse_args())
    if options["server"] == "uvicorn" and not (find_spec("uvicorn") and find_spec("websockets")):
        parser.error("--server uvicorn needs two packages more: .venv/bin/pip install uvicorn websockets")
    limits = machine.limits()
    result = measure(**options)
    result.limits = limits
    show(result)
    print(json.dumps(asdict(result) | {"median": result.median, "over_loopback": result.over_loopback}))


if __name__ == "__main__":
    main()
