"""Ctrl-C and SIGTERM in a script: it leaves politely, and at the end of a batch where that is known."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from clientagent import display

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Left(SystemExit, KeyboardInterrupt):
    """Raised where a script is when it is to leave. Not caught, it ends the program without a traceback."""


class Leaving:
    """event: set once somebody wants the script to leave. A second signal ends the program at once."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._gentle = 0
        self._process = os.getpid()
        self._before: dict[signal.Signals, Any] = {}

    def listen(self) -> None:
        """Take the signals over. Python lets the main thread alone do that; elsewhere they stay as they are."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}

    def stop_listening(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    @contextlib.contextmanager
    def gently(self) -> Iterator[None]:
        """Within the block a first signal raises nothing: whoever is in it looks at `event`."""
        self._gentle += 1
        try:
            yield
        finally:
            self._gentle -= 1

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a forked process, such as a data loader's, ends as ever
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        if self.event.is_set():
            display.show_cursor()
            os._exit(130)
        self.event.set()
        if not self._gentle:
            raise Left(0)
