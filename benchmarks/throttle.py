"""Limits processes to a share of a core: by a control group if this user may make one, else by stopping them."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import usage

PERIOD_MICROSECONDS = 100_000
CGROUP = Path("/sys/fs/cgroup")
LOOK_SECONDS = 0.02


def how_throttled() -> str:
    """The method that will be used, in words."""
    group = _group(1.0)
    if group is None:
        return "SIGSTOP and SIGCONT"
    group.rmdir()
    return "a control group"


@contextlib.contextmanager
def throttled(pid: int, *, cores: float) -> Iterator[None]:
    """Limit a process during a block, including threads that start later."""
    group = _group(cores)
    if group is not None:
        (group / "cgroup.procs").write_text(str(pid))
        try:
            yield
        finally:
            _leave(group)
        return
    over = threading.Event()
    thread = threading.Thread(target=_pace, args=(pid, cores, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _group(cores: float) -> Path | None:
    """A new control group of version 1 or 2; None if none can be made."""
    quota = int(cores * PERIOD_MICROSECONDS)
    kinds = (
        (CGROUP / "cpu", {"cpu.cfs_period_us": str(PERIOD_MICROSECONDS), "cpu.cfs_quota_us": str(quota)}),
        (CGROUP, {"cpu.max": f"{quota} {PERIOD_MICROSECONDS}"}),
    )
    for parent, files in kinds:
        group = parent / f"fl-benchmark-{os.getpid()}"
        with contextlib.suppress(OSError):
            group.mkdir(exist_ok=True)
            for name, value in files.items():
                if not (group / name).exists():
                    raise FileNotFoundError(name)
                (group / name).write_text(value)
            return group
        with contextlib.suppress(OSError):
            group.rmdir()
    return None


def _leave(group: Path) -> None:
    """Move what is left in the group to its parent, and remove it."""
    for pid in (group / "cgroup.procs").read_text().split():
        with contextlib.suppress(OSError):
            (group.parent / "cgroup.procs").write_text(pid)
    with contextlib.suppress(OSError):
        group.rmdir()


def _pace(pid: int, cores: float, over: threading.Event) -> None:
    """Stop the process while it has used more than its share so far."""
    began, used, stopped = time.monotonic(), usage.cpu_seconds([pid]), False
    while not over.wait(LOOK_SECONDS):
        due = (time.monotonic() - began) * cores
        ahead = usage.cpu_seconds([pid]) - used > due
        if ahead != stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP if ahead else signal.SIGCONT)
            stopped = ahead
