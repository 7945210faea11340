"""Jobs that a worker imports."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from clientagent.errors import Failed
from clientagent.hands import Bench
from federation.fl.workloads import Report, Stopped


def in_steps(bench: Bench, report: Report, steps: int, seconds: float) -> int:
    for step in range(1, steps + 1):
        time.sleep(seconds)
        if not report("training", step, steps, {"train_loss": 1.0 / step}):
            raise Stopped
    return os.getpid()


def deadly(bench: Bench, report: Report, mark: Path, times: int) -> str:
    """Kill the own process the first few times."""
    deaths = len(mark.read_text()) if mark.exists() else 0
    if deaths < times:
        mark.write_text("x" * (deaths + 1))
        os.kill(os.getpid(), signal.SIGKILL)
    return f"after {deaths}"


def unforeseen(bench: Bench, report: Report) -> None:
    raise ZeroDivisionError("nobody thought of this")


def foreseen(bench: Bench, report: Report) -> None:
    raise Failed("The data are of another kind.")
