"""How long the phases of a piece of work take, by a clock that nobody sets."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

MEASURED = ("downloading", "training", "evaluating")


class Stopwatch:
    """Adds up seconds by phase. Whoever works says after each step what it was."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._phase = ""
        self._since = clock()
        self._seconds: dict[str, float] = {}

    def at(self, phase: str, fraction: float) -> None:
        """The work is here. A fraction of 0 begins a phase; otherwise the last step belonged to it."""
        now = self._clock()
        before = self._phase if fraction <= 0 else phase
        if before:
            self._seconds[before] = self._seconds.get(before, 0.0) + now - self._since
        self._phase, self._since = phase, now

    @property
    def seconds(self) -> dict[str, float]:
        """Of the phases before the upload that there were."""
        return {phase: round(self._seconds[phase], 4) for phase in MEASURED if phase in self._seconds}
