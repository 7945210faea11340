"""Child processes that never outlive whoever started them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1


def start(
    command: Sequence[str], *, log: Path, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process in a group of its own (Ctrl-C in the terminal does not reach it), its output in a file."""
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as out:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=dict(os.environ) | dict(env or {}),
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )


def _end_with_parent() -> None:
    """Linux ends the process when its parent was killed and could not end it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def stop(processes: Sequence[subprocess.Popen[bytes]], how: signal.Signals, *, patience: float) -> None:
    """Ask processes to end, all at once, and kill what has not ended after `patience` seconds."""
    for process in processes:
        _signal(process, how)
    end = time.monotonic() + patience
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, end - time.monotonic()))
    for process in processes:
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    if process.poll() is None or how == signal.SIGKILL:  # its children may outlive it: the whole group
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, how)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Within: SIGTERM and SIGHUP end this process as Ctrl-C does, so that it can tidy up.

    Ctrl-C itself is named too: a shell starts background jobs with it ignored.
    """

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
