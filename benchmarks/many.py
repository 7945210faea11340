"""Many clients in one process: what a round costs beyond training, in time and memory, on the embedded server.

    .venv/bin/python benchmarks/many.py [--clients 100] [--cohort 100] [--rounds 5] [--workers N] [--epochs 5]
                                        [--pfl] [--flower] [--watch]

The network has two hidden layers, and the data are shared out as in McMahan et al. 2017 (benchmarks/workloads): 600
examples a client, of which a fifth is held out, five epochs in batches of ten. First a bare loop does what each client
does on the same parts of the data, in a process that does nothing else: it takes the examples from the whole, measures
the model on those that are held out, trains, and measures again. It writes no files and knows no server. Then a server
and a process of many clients do the rounds, on this machine; then the loop again, because machines get faster and
slower. With --pfl and --flower, pfl-research 0.6 and Flower's simulation do as many rounds of as many steps, each in an
environment of its own, and measure no model. With --watch, Chromium has the page of a second session open meanwhile.
Prints a table, and the same as JSON in the last line.

By default there is a worker less than cores, because the server needs one. `beyond training` is the time that a worker
spends on a client and round that the bare loop does not need; `speed` is the bare loop's time as a part of it. The CPU
of the workers, of the process of the clients and of the server says where the time goes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # as the workers have it


import psutil  # noqa: E402

from benchmarks import machine, others, usage, watching_page  # noqa: E402
from benchmarks.watching_page import Watched  # noqa: E402
from clientagent.crowd.naming import usable_cores  # noqa: E402
from flsite import processes  # noqa: E402
from tests.e2e.stack import Stack, until  # noqa: E402

if TYPE_CHECKING:
    import torch
    from torch import nn

    from federation.fl.workloads import Data

WORKLOADS = ROOT / "benchmarks" / "workloads"
NAME = "two-layers"
BATCH, RATE = 10, 0.05
HELD_OUT = 0.2  # of a client's examples
MOST_BARE = 20  # clients that the bare loop trains
BARE = "--bare"
PFL = "pfl==0.6.0"
FLOWER = "flwr[simulation]"


@dataclass
class Cpu:
    """CPU seconds of a client and round: of the workers, of the process that the clients live in, of the server."""

    workers: float
    clients: float
    server: float


@dataclass
class Found:
    """What was measured. Seconds are per client and round, and of one core."""

    clients: int
    cohort: int
    workers: int
    rounds: int
    steps: int  # of a client in a round
    bare_seconds: float
    seconds: float
    round_seconds: list[float]
    cpu: Cpu
    joined_seconds: float
    waiting_mb: float
    peak_mb: float
    resident_mb: float
    others: dict[str, float]  # seconds of other frameworks
    watched: Watched | None

    @property
    def beyond_ms(self) -> float:
        return 1000 * (self.seconds - self.bare_seconds)

    @property
    def speed(self) -> float:
        return self.bare_seconds / self.seconds


def main() -> None:
    if BARE in sys.argv:
        _, clients, epochs, examples = sys.argv[sys.argv.index(BARE) :]
        print(json.dumps(bare(int(clients), int(epochs), int(examples))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--cohort", type=int, default=0, help="clients a round; by default all")
    parser.add_argument("--rounds", type=int, default=5, help="that are measured, after one that is not")
    parser.add_argument("--workers", type=int, default=max(1, usable_cores() - 1))
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--examples", type=int, default=60_000, help="of all clients together")
    parser.add_argument("--connections", type=int, default=500)
    parser.add_argument("--pfl", action="store_true", help="measure pfl-research beside")
    parser.add_argument("--flower", action="store_true", help="measure Flower's simulation beside")
    parser.add_argument("--watch", action="store_true", help="watch another session in Chromium")
    options = parser.parse_args()
    options.cohort = min(options.cohort or options.clients, options.clients)
    show(measure(options))


# ---- the bare loop


def bare(clients: int, epochs: int, examples: int) -> tuple[float, int]:
    """Median seconds and steps of a client, trained as by a script of one's own. For a process of its own."""
    import numpy as np
    import torch
    from torch import nn

    from clientagent.crowd.parts import Parts
    from clientagent.settings import Settings
    from federation.fl.workloads.foreign import Place, load

    torch.set_num_threads(1)
    workload = load(Place(str(WORKLOADS / "two_layers.py"))).workload
    whole = Parts(Settings(), clients).load(workload, {"examples": examples})
    base, seconds, steps = workload.model({}).state_dict(), [], 0  # type: ignore[attr-defined]
    for share in whole.shares[:MOST_BARE]:
        ranks = whole.data.ranks[share]
        held_out = np.flatnonzero((ranks < HELD_OUT) | (ranks == ranks.min()))
        trained = np.setdiff1d(np.arange(len(share)), held_out)
        began = perf_counter()
        network = workload.model({})  # type: ignore[attr-defined]
        network.load_state_dict(base)
        optimizer = torch.optim.SGD(network.parameters(), lr=RATE)
        tests = taken(whole.data, share[held_out])
        features, labels = taken(whole.data, share[trained])
        measured(network, *tests)
        for _ in range(epochs):
            for batch in torch.split(torch.randperm(len(labels)), BATCH):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(network(features[batch]), labels[batch])
                loss.backward()
                optimizer.step()
                loss.item()  # for a curve
        measured(network, *tests)
        seconds.append(perf_counter() - began)
        steps = epochs * -(-len(trained) // BATCH)
    return statistics.median(seconds), steps


def taken(data: Data, places: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Features and labels of some examples."""
    import torch

    return torch.from_numpy(data.features[places]), torch.from_numpy(data.labels[places])


def measured(network: nn.Module, features: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """Loss and accuracy."""
    import torch
    from torch import nn

    with torch.inference_mode():
        outputs = network(features)
        loss = nn.functional.cross_entropy(outputs, labels).item()
        return loss, (outputs.argmax(dim=1) == labels).double().mean().item()


def bare_loop(options: argparse.Namespace) -> tuple[float, int]:
    words = [sys.executable, __file__, BARE, *map(str, (options.clients, options.epochs, options.examples))]
    seconds, steps = json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return seconds, steps


# ---- other frameworks


def beside(options: argparse.Namespace) -> dict[str, float]:
    """Seconds of a client and round in other frameworks, of one core."""
    found = {}
    if options.pfl:
        found["pfl-research 0.6"] = rounds_in(others.environment("pfl", PFL), "pfl_rounds.py", options)
    if options.flower:
        bin_ = others.environment("flwr", FLOWER)
        name = f"Flower {others.version(bin_, 'flwr')}, simulation"
        found[name] = options.workers * rounds_in(bin_, "flower_rounds.py", options, options.workers)
    return found


def rounds_in(bin_: Path, script: str, options: argparse.Namespace, *more: int) -> float:
    """Seconds of a client and round by a script in an environment, which has torch from this one."""
    (site,) = (bin_.parent / "lib").glob("python*/site-packages")
    (site / "ours.pth").write_text(sysconfig.get_path("purelib"))  # at the end of the path
    trained = round((1 - HELD_OUT) * options.examples / options.clients)
    numbers = (options.clients, options.cohort, options.rounds + 1, options.epochs, BATCH, trained, *more, RATE)
    words = [str(bin_ / "python"), str(ROOT / "benchmarks" / script), *map(str, numbers)]
    done = subprocess.run(words, capture_output=True, text=True, env=others.child_environment(bin_))
    if done.returncode:
        raise SystemExit(f"{script}: {done.stdout[-2000:]}{done.stderr[-4000:]}")
    return statistics.median(json.loads(done.stdout.splitlines()[-1])[1:]) / options.cohort


# ---- the clients


def measure(options: argparse.Namespace) -> Found:
    bare_seconds, steps = bare_loop(options)
    with tempfile.TemporaryDirectory() as folder, crowd(Path(folder), options) as (stack, process, joined):
        with watching(process.pid) as memory:
            waiting = proportional_mb(process.pid)
            before = cpu(stack, process.pid)
            rounds = rounds_of(stack, options)
            used = cpu(stack, process.pid)
        lasting = partial(launch, stack, options, times=3)  # two browsers open it, one after the other
        watched = watching_page.watch(stack, lasting) if options.watch else None
        again = bare_loop(options)[0]  # machines get faster and slower
    return Found(
        clients=options.clients,
        cohort=options.cohort,
        workers=options.workers,
        rounds=options.rounds,
        steps=steps,
        bare_seconds=(bare_seconds + again) / 2,
        seconds=statistics.median(rounds) * options.workers / options.cohort,
        round_seconds=rounds,
        cpu=per_client(before, used, options.cohort * (options.rounds + 2)),
        joined_seconds=joined,
        waiting_mb=waiting,
        peak_mb=memory.mb,
        resident_mb=memory.resident_mb,
        others=beside(options),
        watched=watched,
    )


@contextmanager
def crowd(folder: Path, options: argparse.Namespace) -> Iterator[tuple[Stack, Any, float]]:
    """A server and the process of many clients, and how long it took until all had joined."""
    stack = Stack(folder / "server", env={"FL_WORKLOADS": str(WORKLOADS)})
    stack.start()
    try:
        code = stack.post("/invitations", {"uses": options.clients}).json()["join_code"]
        began = perf_counter()
        words = ["clientagent/run.py", "--server", stack.url, "--join", code, "--name", "sim"]
        words += ["--state", str(folder / "sim"), "--workloads", str(WORKLOADS), "--workload", NAME]
        words += ["--allow", NAME]
        words += ["--clients", str(options.clients), "--workers", str(options.workers)]
        words += ["--connections", str(options.connections)]
        process = processes.start([sys.executable, *words], log=folder / "sim.log", cwd=ROOT, env=dict(os.environ))
        stack.agents["sim"] = process
        until(lambda: joined(stack) >= options.clients, seconds=600, every=0.5, why=f"logs are in {folder}")
        yield stack, process, perf_counter() - began
    finally:
        stack.stop()


def joined(stack: Stack) -> int:
    found, after = 0, 0
    while items := stack.get("/clients", limit=1000, after=after)["items"]:
        found, after = found + sum(client["online"] for client in items), items[-1]["id"]
    return found


def launch(stack: Stack, options: argparse.Namespace, *, times: int = 1) -> str:
    """A session of a round more than is measured at both ends."""
    train = {"epochs": options.epochs, "batch_size": BATCH, "learning_rate": RATE}
    workload = {"name": NAME, "options": {"examples": options.examples}}
    change = {"workload": workload, "rounds": times * options.rounds + 2, "quorum": options.cohort, "train": train}
    return stack.session(cohort_size=options.cohort, round_seconds=3600, **change)


def rounds_of(stack: Stack, options: argparse.Namespace) -> list[float]:
    """Seconds from each round's opening to the next one's, without the first round, in which data are read."""
    session = launch(stack, options)
    ended = stack.ended(session, seconds=3600, every=1.0)
    assert ended["status"] == "completed", ended["reason"]
    rows = stack.get(f"/sessions/{session}/rounds", limit=1000)["items"]
    opened = [datetime.fromisoformat(row["opened_at"]) for row in rows]
    return [(after - before).total_seconds() for before, after in zip(opened[1:], opened[2:], strict=False)]


# ---- CPU and memory


def cpu(stack: Stack, pid: int) -> Cpu:
    """Seconds so far. Workers are children of a child."""
    process = psutil.Process(pid)
    server = usage.cpu_seconds([running.pid for running in stack.running.values()])
    return Cpu(usage.cpu_seconds([child.pid for child in process.children()]), sum(process.cpu_times()[:2]), server)


def per_client(before: Cpu, after: Cpu, count: int) -> Cpu:
    pairs = zip(astuple(before), astuple(after), strict=True)
    return Cpu(*((later - earlier) / count for earlier, later in pairs))


class Memory:
    """The most of the whole family of processes. mb: what they share counts once. resident_mb: for each of them."""

    mb = resident_mb = 0.0


@contextmanager
def watching(pid: int) -> Iterator[Memory]:
    peak, over = Memory(), threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            peak.mb = max(peak.mb, proportional_mb(pid))
            peak.resident_mb = max(peak.resident_mb, usage.resident_mb([pid]))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


def proportional_mb(pid: int) -> float:
    """Memory of a process and its children in MB, where pages that several share count once."""
    total = 0
    for member in usage.family(pid):
        try:
            lines = Path(f"/proc/{member.pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return total * 1024 / 1e6


def show(found: Found) -> None:
    print(machine.describe())
    print(f"{found.clients} clients, {found.cohort} a round, {found.workers} workers; {found.steps} steps a client")
    print(f"joined                      {found.joined_seconds:8.1f} s")
    shown = ", ".join(f"{seconds:.2f}" for seconds in found.round_seconds)
    print(f"round, median               {statistics.median(found.round_seconds):8.2f} s  ({shown})")
    print(f"bare loop                   {1000 * found.bare_seconds:8.1f} ms a client and round")
    print(f"here                        {1000 * found.seconds:8.1f} ms a client and round")
    print(f"beyond training             {found.beyond_ms:8.1f} ms a client and round")
    print(f"speed against a bare loop   {found.speed:8.2f} per core")
    for name, seconds in found.others.items():
        speed = found.bare_seconds / seconds
        print(f"{name:27} {1000 * seconds:8.1f} ms a client and round, {speed:.2f} of the bare loop's speed")
    for name, seconds in asdict(found.cpu).items():
        print(f"{'CPU of the ' + name:27} {1000 * seconds:8.1f} ms a client and round")
    print(f"memory, while all wait      {found.waiting_mb:8.0f} MB")
    print(
        f"memory, peak                {found.peak_mb:8.0f} MB; {found.resident_mb:.0f} MB if shared pages count twice"
    )
    if found.watched is not None:
        watching_page.show(found.watched)
    print(json.dumps(asdict(found) | {"beyond_ms": found.beyond_ms, "speed": found.speed}))


if __name__ == "__main__":
    main()
