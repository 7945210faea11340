"""Keeps a site's own training program running: starts it, starts it again when it dies, and ends with it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from time import monotonic
from types import FrameType

from clientagent.errors import Misconfigured
from clientagent.link import duration

FIRST_SECONDS, MOST_SECONDS = 1.0, 60.0  # before it is started again; twice as long each time
STEADY_SECONDS = 60.0  # a program that lived so long is started again as after its first death
FINAL = (0, 2, 3, 4)  # exit statuses after which another start would end the same way


def run(command: Sequence[str], environment: Mapping[str, str], say: Callable[[str], None]) -> int:
    """Run a program until it leaves, or is asked to. Returns its exit status, 0 if it ended because it was asked to."""
    program, pause = Program(command, environment), FIRST_SECONDS
    with program.hearing_signals():
        while True:
            began = monotonic()
            status = program.run()
            if program.leaving.is_set():
                return 0
            if status in FINAL:
                return status
            pause = FIRST_SECONDS if monotonic() - began >= STEADY_SECONDS else pause
            say(f"{command[0]} {_how_it_ended(status)}. It is started again in {duration(pause)}.")
            if program.leaving.wait(pause):
                return 0
            pause = min(2 * pause, MOST_SECONDS)


def _not_started(program: str, error: OSError) -> str:
    said = f"The program {program!r} cannot be started: {error.strerror}."
    return f"{said} Python runs a file of its own: -- python {program}." if program.endswith(".py") else said


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"ended with the exit status {status}"
    names = {number.value: number.name for number in signal.Signals}
    return f"was ended by {names.get(-status, f'signal {-status}')}"


class Program:
    """One program, started as often as `run` is called. leaving: set once somebody wants it to leave."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self.leaving = threading.Event()
        self._command, self._environment = list(command), dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        """Start it and wait for its end. Raises Misconfigured if it cannot be started."""
        try:
            process = subprocess.Popen(
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                # Of a group of its own, so that Ctrl-C reaches it once: from here.
                process_group=None if sys.platform == "win32" else 0,
            )
        except OSError as error:
            raise Misconfigured(_not_started(self._command[0], error)) from error
        self._process = process
        if self.leaving.is_set():  # the signal came before there was a process to pass it on to
            process.terminate()
        return process.wait()

    @contextlib.contextmanager
    def hearing_signals(self) -> Iterator[None]:
        """Within the block Ctrl-C and SIGTERM are passed on, so that the program leaves politely."""
        before = {number: signal.signal(number, self._on_signal) for number in _passed_on()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.leaving.set()
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)


def _passed_on() -> list[signal.Signals]:
    """Also that the terminal was closed, unless somebody (nohup) has it ignored: it reaches one group alone."""
    found = [signal.SIGINT, signal.SIGTERM]
    closed = getattr(signal, "SIGHUP", None)
    return [*found, closed] if closed is not None and signal.getsignal(closed) != signal.SIG_IGN else found


def environment_of(settings: Mapping[str, str], root: str) -> dict[str, str]:
    """What the program finds: this process's environment, these settings, and `clientagent` where Python looks."""
    path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
    kept = {name: value for name, value in os.environ.items() if name.removesuffix("_FILE") not in settings}
    return {**kept, **settings, "PYTHONPATH": path}
