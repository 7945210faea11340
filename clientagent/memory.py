"""How much memory this process has, and work that ends when that is more than its owner allows."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from time import monotonic

from clientagent.children import Children
from clientagent.errors import Failed
from federation.fl.workloads import Report
from federation.fl.workloads.workload import Phase

EVERY_SECONDS = 0.5  # between two looks
STATUS = Path("/proc/self/statm")
IS_KNOWN = sys.platform.startswith("linux")


def resident() -> int:
    """Bytes of memory that this process has now, of Linux alone. `Children` has that of processes beside it."""
    return int(STATUS.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def within(most_mb: int, report: Report) -> Report:
    """The same report, which raises Failed once this process and those that read files for it have more memory, in MB.

    Memory is looked at between steps, so a single step can need more for a moment.
    """
    next_look, children = 0.0, Children()

    def watched(phase: Phase, step: int, total: int, metrics: Mapping[str, float]) -> bool:
        nonlocal next_look
        if monotonic() >= next_look:
            next_look = monotonic() + EVERY_SECONDS
            require(most_mb, children.memory())
        return report(phase, step, total, metrics)

    return watched


def require(most_mb: int, beside: int) -> None:
    """Raises Failed if this process has more memory. beside: bytes that others have for it."""
    if (found := (resident() + beside) / 1e6) > most_mb:
        readers = f", {beside / 1e6:.0f} MB of it in processes that read files" if beside else ""
        raise Failed(
            f"This work needs more than the {most_mb} MB of memory that the site allows (--max-memory): the agent has "
            f"{found:.0f} MB{readers}. Use smaller batches or a smaller network."
        )
