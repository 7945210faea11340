"""How much memory of its own a script needs beside its model: RssAnon of its process, through two rounds and a measure.

    .venv/bin/python benchmarks/script_memory.py [--megabytes 4000] [--kind numpy|torch] [--most 300]

The script (large_script.py) holds one model of that size. Disk: about nine times the model. Ends with status 1 if the
process had more than `--most` MB beyond its model.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import machine  # noqa: E402
from tests.e2e.stack import Stack, running, until  # noqa: E402

SCRIPT = ROOT / "benchmarks" / "large_script.py"
FILES = 9  # of the model's size: versions and updates at the server, models and updates at the site
EVERY_SECONDS = 0.05


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=int, default=4000)
    parser.add_argument("--kind", choices=("numpy", "torch"), default="numpy")
    parser.add_argument("--most", type=int, default=300)
    options = parser.parse_args()
    print(machine.describe())
    with tempfile.TemporaryDirectory() as folder:
        free = shutil.disk_usage(folder).free / 1e6
        if free < FILES * options.megabytes:
            sys.exit(f"{folder} has {free:,.0f} MB left: about {FILES * options.megabytes:,} are needed. Set TMPDIR.")
        with running(Path(folder), env={"FL_KEEP_UPDATES": "1"}) as stack:
            peak = measure(stack, options.megabytes, options.kind)
    beyond = peak - options.megabytes
    print(f"{options.kind}: {peak:,.0f} MB at its peak, {beyond:,.0f} MB beyond the model of {options.megabytes:,} MB")
    return int(beyond > options.most)


def measure(stack: Stack, megabytes: int, kind: str) -> float:
    """The most of the script's own memory at once, in MB."""
    process = stack.script("large", SCRIPT, str(megabytes), kind)
    peak = Peak(process.pid)
    until(lambda: any(one["name"] == "large" for one in stack.get("/workloads")["items"]), seconds=600)
    wish = {"workload": {"name": "large", "options": {}}, "rounds": 2, "quorum": 1, "cohort_size": 1}
    ended = stack.ended(stack.session(**wish, round_seconds=3600), seconds=3600)
    assert ended["status"] == "completed", ended
    return peak.end()


class Peak:
    """Looks at a process's RssAnon until `end`."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._most = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            (line,) = [line for line in self._status.read_text().splitlines() if line.startswith("RssAnon")]
            self._most = max(self._most, int(line.split()[1]) * 1024 / 1e6)

    def end(self) -> float:
        self._over.set()
        self._thread.join()
        return self._most


if __name__ == "__main__":
    sys.exit(main())
