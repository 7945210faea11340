"""The same rounds in Flower and here, one after the other: seconds a round and the server's memory.

    .venv/bin/python benchmarks/against_flower.py [--clients 2] [--params 1000000] [--rounds 3] [--server daphne]

Flower's newest release is installed from PyPI into an environment of its own. It runs as a deployment (a SuperLink,
a SuperNode a client and `flwr run`) and, where ray can be installed, in its simulation, all within one machine.
Clients send back what they got; ours also draw noise and write it to a file. Prints a table and a JSON line.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import requests

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import others, usage  # noqa: E402
from benchmarks.others import Measured  # noqa: E402
from flsite import processes  # noqa: E402
from tests.e2e.stack import free_port, until  # noqa: E402

APP = Path(__file__).resolve().parent / "flower_app"
CONNECTION = """
[superlink]
default = "here"
[superlink.here]
address = "127.0.0.1:{port}"
insecure = true
{more}
"""


def main() -> None:
    options = others.arguments(__doc__)
    bin_, simulates = install()
    release = others.version(bin_, "flwr")
    us = others.ours(options)
    them = [measure(bin_, options, f"Flower {release}, deployed", simulation=False)]
    if simulates:
        them.append(measure(bin_, options, f"Flower {release}, simulation", simulation=True))
    others.show(options, us, them)


def install() -> tuple[Path, bool]:
    """Where Flower's programs are, and whether its simulation could be installed."""
    try:
        return others.environment("flwr", "flwr[simulation]"), True
    except subprocess.CalledProcessError:
        return others.environment("flwr"), False


def measure(bin_: Path, options: argparse.Namespace, name: str, *, simulation: bool) -> Measured:
    with tempfile.TemporaryDirectory() as temporary:
        run = Run(Path(temporary), bin_)
        with others.ending(lambda: run.pids):
            run.start_server(simulation, options.clients)
            if not simulation:
                run.start_clients(options.clients)
            with usage.watching(run.pids[:1]) as peak:
                times = run.rounds(options)
    return Measured(name, others.intervals(times, options.rounds), peak.mb)


class Run:
    """One SuperLink, what belongs to it, and a run of the app in benchmarks/flower_app."""

    def __init__(self, folder: Path, bin_: Path) -> None:
        self.folder, self.port, self.pids = folder, free_port(), list[int]()
        quiet = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
        self.env = others.child_environment(bin_, FLWR_HOME=str(folder), **quiet)

    def start_server(self, simulation: bool, clients: int) -> None:
        more = f"options.num-supernodes = {clients}" if simulation else ""
        (self.folder / "config.toml").write_text(CONNECTION.format(port=self.port, more=more))
        kind = ["--simulation"] if simulation else []
        where = ["--host", "127.0.0.1", "--port", str(self.port)]
        self.start("flower-superlink", "--insecure", "--disable-runtime-dependency-installation", *kind, *where)
        until(lambda: requests.get(f"http://127.0.0.1:{self.port}/health", timeout=5).ok, why="the SuperLink")

    def start_clients(self, count: int) -> None:
        for _ in range(count):
            where = ["--superlink", f"127.0.0.1:{self.port}", "--port", str(free_port())]
            self.start("flower-supernode", "--insecure", *where)

    def start(self, *command: str) -> None:
        log = self.folder / f"{command[0]}.log"
        self.pids.append(processes.start(command, log=log, cwd=self.folder, env=self.env).pid)

    def rounds(self, options: argparse.Namespace) -> list[float]:
        """When each round began."""
        times = self.folder / "times"
        config = f'params={options.params} rounds={options.rounds + 2} clients={options.clients} times="{times}"'
        command = ["flwr", "run", str(APP), "here", "--run-config", config]
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"flwr run: {done.stdout}{done.stderr}")
        until(
            lambda: len(others.numbers(times)) >= options.rounds + 2,
            seconds=others.LIMIT_SECONDS,
            why=f"{options.rounds + 2} rounds of Flower; {(self.folder / 'flower-superlink.log').read_text()[-2000:]}",
        )
        return others.numbers(times)


if __name__ == "__main__":
    main()
