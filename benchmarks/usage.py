"""What a process and its children use: CPU seconds, and resident memory at its peak."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import psutil


def family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(pids: list[int]) -> float:
    """User and system time so far of these processes and their living children."""
    return sum(sum(member.cpu_times()[:2]) for pid in pids for member in family(pid))


def resident_mb(pids: list[int]) -> float:
    total = 0
    for member in {member for pid in pids for member in family(pid)}:
        with contextlib.suppress(psutil.NoSuchProcess):
            total += member.memory_info().rss
    return total / 1e6


class Peak:
    """The most that was resident at once; `mb` after, or within, `watching`."""

    mb = 0.0


@contextlib.contextmanager
def watching(pids: list[int], *, every: float = 0.1) -> Iterator[Peak]:
    """Look every so many seconds, for the length of a block. `pids` may grow meanwhile."""
    peak, over = Peak(), threading.Event()

    def watch() -> None:
        while not over.wait(every):
            peak.mb = max(peak.mb, resident_mb(pids))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()
