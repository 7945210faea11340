"""What the person at the terminal sees: a live line with a bar, or plain lines for a log."""

from __future__ import annotations

import contextlib
import io
import sys
import threading
from datetime import datetime
from time import monotonic
from typing import TYPE_CHECKING, Protocol, TextIO

from clientagent.link import duration

if TYPE_CHECKING:
    from rich.progress import Progress

FIRST_SECONDS, EVERY_SECONDS = 1.0, 10.0  # until the first plain line about a phase, and between more of them


class Display(Protocol):
    """Any thread may call it."""

    def say(self, text: str) -> None:
        """A line that stays."""

    def waiting(self) -> None:
        """There is no work at the moment."""

    def begin(self, title: str) -> None:
        """Work has come."""

    def at(self, phase: str, fraction: float, loss: float | None) -> None:
        """How far the work is, and the last loss that is known."""

    def close(self) -> None: ...


def for_terminal(out: TextIO) -> Display:
    """What fits a stream. Where it has no sign for a letter, the letter's number stands in its place."""
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="backslashreplace")
    return Live() if out.isatty() else Lines(out)


class Phase:
    """The present phase, since when it lasts, and how long it will take at this pace."""

    def __init__(self) -> None:
        self.name = ""
        self._since = 0.0

    @property
    def seconds(self) -> float:
        return monotonic() - self._since

    def enter(self, name: str) -> bool:
        """True if it is another one than before."""
        if name == self.name:
            return False
        self.name, self._since = name, monotonic()
        return True

    def describe(self, fraction: float, loss: float | None) -> str:
        parts = [self.name, f"{fraction:.0%}"]
        if loss is not None:
            parts.append(f"loss {loss:.4g}")
        if 0 < fraction < 1 and self.seconds >= 1:
            parts.append(f"{duration(self.seconds * (1 - fraction) / fraction)} left")
        return ", ".join(parts)


class Lines:
    """Plain lines with the time, for a log: of a phase only when it lasts."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._title = ""
        self._phase = Phase()
        self._next = 0.0

    def say(self, text: str) -> None:
        with (
            self._lock,
            contextlib.suppress(OSError, ValueError),
        ):  # nobody reads this any more, which is no reason to stop
            self._out.write(f"{datetime.now():%Y-%m-%d %H:%M:%S} {printable(text)}\n")
            self._out.flush()

    def waiting(self) -> None:
        if not self._phase.name:
            self.say("Waiting for work.")
        self._phase.enter("waiting")

    def begin(self, title: str) -> None:
        self._title = title

    def at(self, phase: str, fraction: float, loss: float | None) -> None:
        if self._phase.enter(phase):
            self._next = FIRST_SECONDS
        if self._phase.seconds >= self._next:
            self._next = self._phase.seconds + EVERY_SECONDS
            self.say(f"{self._title}: {self._phase.describe(fraction, loss)}")

    def close(self) -> None:
        pass


class Live:
    """One line that moves, below those that stay."""

    def __init__(self) -> None:
        self._phase = Phase()
        self._title = ""
        self._bar = _bar()
        self._task = self._bar.add_task("starting", total=None, detail="")
        self._bar.start()

    def say(self, text: str) -> None:
        self._bar.console.print(printable(text), markup=False, highlight=False)

    def waiting(self) -> None:
        if self._phase.enter("waiting"):
            self._bar.reset(self._task, description="waiting for work", total=None, detail="")

    def begin(self, title: str) -> None:
        self._title = printable(title)

    def at(self, phase: str, fraction: float, loss: float | None) -> None:
        self._phase.enter(phase)
        detail = self._phase.describe(fraction, loss)
        self._bar.update(self._task, description=self._title, total=1.0, completed=fraction, detail=detail)

    def close(self) -> None:
        self._bar.stop()


def _bar() -> Progress:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    title = TextColumn("{task.description}", markup=False)
    detail = TextColumn("{task.fields[detail]}", markup=False)
    return Progress(SpinnerColumn(), title, BarColumn(bar_width=24), detail, transient=True, refresh_per_second=5)


def printable(text: str) -> str:
    """A text in which `?` stands for signs that cannot be shown.

    Names and sentences come from elsewhere, and must not control this terminal.
    """
    return "".join(sign if sign.isprintable() or sign == "\n" else "?" for sign in text)


def show_cursor() -> None:
    """For an end without `close`: the live line hides the cursor."""
    if sys.stdout.isatty():
        sys.stdout.write("\x1b[?25h")
        sys.stdout.flush()
