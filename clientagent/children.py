"""Processes that this one has begun and that run beside it, such as those that read images: what they take."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic

TASKS = Path("/proc/self/task")
PRIVATE = "Private_"  # of a process alone: what it shares with this one is counted here
SHARE = 0.002  # of the time between two looks: the kernel walks through all of a process's memory
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
USER, SYSTEM = 11, 12  # fields of /proc/PID/stat after the name, which may have spaces


class Children:
    """Those of Linux; elsewhere there are none."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._next_look, self._known, self._bytes = 0.0, frozenset[int](), 0

    def memory(self) -> int:
        """Bytes that they have for themselves, of some seconds ago where looking takes long."""
        now, pids = self._clock(), frozenset(_pids())
        if pids != self._known or now >= self._next_look:
            self._bytes = sum(map(_private, pids))
            took = self._clock() - now
            self._next_look, self._known = now + took / SHARE, pids
        return self._bytes

    def busy(self) -> float:
        """Seconds of processor that they have used, those that have ended included."""
        ended = os.times()
        return ended.children_user + ended.children_system + sum(map(_seconds, _pids()))


def _pids() -> Iterator[int]:
    if not TASKS.is_dir():
        return
    for task in TASKS.iterdir():
        yield from map(int, _read(task / "children").split())


def _private(pid: int) -> int:
    lines = _read(Path(f"/proc/{pid}/smaps_rollup")).splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith(PRIVATE))


def _seconds(pid: int) -> float:
    numbers = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return (int(numbers[USER]) + int(numbers[SYSTEM])) / TICKS if numbers else 0.0


def _read(file: Path) -> str:
    """Empty where the process has ended meanwhile, or the kernel does not tell."""
    try:
        return file.read_text()
    except OSError:
        return ""
