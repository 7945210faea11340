"""Whether the server answers, told to the person at the terminal once per change and now and then while it is away."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

REMIND_SECONDS = 60.0


class Link:
    """Shared by the threads that call the server."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._lock = threading.Lock()
        self._away = False
        self._away_since = 0.0
        self._said = 0.0

    def note(self, text: str) -> None:
        """Say what else is to be said about the server."""
        self._say(text)

    def down(self, reason: str) -> None:
        """A call got no answer."""
        with self._lock:
            now = monotonic()
            if not self._away:
                self._away = True
                self._away_since = self._said = now
                self._say(f"The server does not answer ({reason}). Trying again until it does.")
            elif now - self._said >= REMIND_SECONDS:
                self._said = now
                self._say(f"Still no answer from the server after {duration(now - self._away_since)} ({reason}).")

    def up(self) -> None:
        """A call got its answer."""
        with self._lock:
            if self._away:
                self._say(f"The server is back after {duration(monotonic() - self._away_since)}.")
                self._away = False


def duration(seconds: float) -> str:
    """1 s, 59 s, 1 min 5 s, 2 h 3 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
