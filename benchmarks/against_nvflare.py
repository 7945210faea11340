"""The same rounds in NVFlare and here, one after the other: seconds a round and the server's memory.

    .venv/bin/python benchmarks/against_nvflare.py [--clients 2] [--params 1000000] [--rounds 3] [--server daphne]

NVFlare's newest release is installed from PyPI into an environment of its own and runs as its proof-of-concept
deployment: a server and each client as processes of their own, the job by its FedAvg recipe for numpy. It listens
on NVFlare's fixed ports, 8002 and 8003. Clients send back what they got; ours also draw noise and write it to a
file. Prints a table and a JSON line.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import others, usage  # noqa: E402
from benchmarks.others import Measured  # noqa: E402
from flsite import processes  # noqa: E402
from tests.e2e.stack import until  # noqa: E402

HERE = Path(__file__).resolve().parent


def main() -> None:
    options = others.arguments(__doc__)
    bin_ = others.environment("nvflare")
    name = f"NVFlare {others.version(bin_, 'nvflare')}"
    us = others.ours(options)
    others.show(options, us, [measure(bin_, options, name)])


def measure(bin_: Path, options: argparse.Namespace, name: str) -> Measured:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        workspace = str(folder / "poc")
        env = others.child_environment(bin_, NVFLARE_POC_WORKSPACE=workspace, HOME=temporary)
        count = options.rounds + 2
        command = ["python", "nvflare_job.py", temporary, *map(str, (options.clients, options.params, count))]
        log = folder / "job.log"
        driver = processes.start(command, log=log, cwd=HERE, env=env)
        with others.ending(lambda: [driver.pid, *having(workspace)]):
            server = until(lambda: having(f"{workspace}/example_project/prod_00/server"), why="NVFlare's server")
            with usage.watching(server) as peak:
                until(
                    lambda: len(begun(folder, options.clients)) >= count,
                    seconds=others.LIMIT_SECONDS,
                    every=0.5,
                    why=f"{count} rounds of NVFlare: {log.read_text()[-2000:]}",
                )
            times = begun(folder, options.clients)
    return Measured(name, others.intervals(times, options.rounds), peak.mb)


def begun(folder: Path, clients: int) -> list[float]:
    """When each round began: its model reached the first client."""
    found = [others.numbers(file) for file in folder.glob("*.times")]
    return [min(times) for times in zip(*found, strict=False)] if len(found) == clients else []


def having(word: str) -> list[int]:
    """Processes with this word in their command. NVFlare's do not descend from who started them."""
    found = psutil.process_iter(["cmdline"])
    return [process.pid for process in found if any(word in part for part in process.info["cmdline"] or ())]


if __name__ == "__main__":
    main()
