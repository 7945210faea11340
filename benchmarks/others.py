"""Other frameworks beside ours: their newest release in an environment of its own, and one table of both."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import statistics
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from benchmarks import machine, rounds, usage

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "federated-learning-control-room"
LIMIT_SECONDS = 900


@dataclass(frozen=True)
class Measured:
    """seconds: of each measured round, from its beginning to the next one's. peak_mb: of all server processes."""

    name: str
    seconds: list[float]
    peak_mb: float

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def environment(package: str, requirement: str = "") -> Path:
    """The `bin` folder of an environment with the newest release of a package. It is kept for the next time."""
    folder = CACHE / package
    if not (folder / "bin/python").exists():
        print(f"A virtual environment for {package} is made in {folder}.", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
    quiet = ["--quiet", "--disable-pip-version-check", "--upgrade"]
    pip = [str(folder / "bin/python"), "-m", "pip", "install", *quiet, requirement or package]
    subprocess.run(pip, check=True, stderr=subprocess.DEVNULL)
    return folder / "bin"


def version(bin_: Path, package: str) -> str:
    code = f"import importlib.metadata; print(importlib.metadata.version({package!r}))"
    return subprocess.run([bin_ / "python", "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def child_environment(bin_: Path, **more: str) -> dict[str, str]:
    """What a child process sees: programs of that environment first, and no proxy between it and 127.0.0.1."""
    given = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return given | {"PATH": f"{bin_}{os.pathsep}{given['PATH']}"} | more


def intervals(times: Sequence[float], count: int) -> list[float]:
    """Seconds of `count` rounds from when each began. The first is left out: it waits for everybody to begin."""
    return [after - before for before, after in zip(times[1:], times[2:], strict=False)][:count]


def numbers(file: Path) -> list[float]:
    with contextlib.suppress(FileNotFoundError):
        return [float(line) for line in file.read_text().split()]
    return []


@contextlib.contextmanager
def ending(started: Callable[[], list[int]]) -> Iterator[None]:
    """At the end of the block the processes that `started` names, and all that came from them, are killed."""
    try:
        yield
    finally:
        members = {member for pid in started() for member in usage.family(pid)}
        for member in members:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(members, timeout=10)


def arguments(description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=2)
    parser.add_argument("--params", type=int, default=1_000_000, help="float32 parameters of the model")
    parser.add_argument("--rounds", type=int, default=3, help="measured rounds; two more are run")
    parser.add_argument("--server", choices=tuple(rounds.SERVERS), default="daphne", help="which server ours runs on")
    return parser.parse_args()


def ours(options: argparse.Namespace) -> Measured:
    found = rounds.measure(**vars(options))
    return Measured(f"this project, {options.server}", found.seconds, found.server_peak_mb)


def show(options: argparse.Namespace, us: Measured, them: Sequence[Measured]) -> None:
    """A table, and the same as a line of JSON. Ratios above 1 are in our favour."""
    print(f"{machine.describe()}\n{shlex.join([Path(sys.executable).name, *sys.argv])}\n")
    print(f"{options.clients} clients x {options.params:,} float32 parameters, median of {options.rounds} rounds\n")
    print(f"{'':34}{'a round':>10}{'server memory':>16}{'times ours':>20}")
    print(f"{us.name:34}{us.median:8.3f} s{us.peak_mb:13.0f} MB")
    for each in them:
        ratios = f"{each.median / us.median:.1f} and {each.peak_mb / us.peak_mb:.1f}"
        print(f"{each.name:34}{each.median:8.3f} s{each.peak_mb:13.0f} MB{ratios:>20}")
    rows = [asdict(each) | {"median": each.median} for each in (us, *them)]
    print("\n" + json.dumps(vars(options) | {"measured": rows}))
