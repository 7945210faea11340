"""What the person at the terminal sees of many clients: one line of totals, and what happens to a client once.

All that the clients say is in a file, each line with the client's name.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Mapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Protocol, TextIO

from clientagent import display
from clientagent.display import Lines, printable

if TYPE_CHECKING:
    from rich.progress import Progress

LOG = "log.txt"
MOST_LOG_BYTES = 10_000_000  # then it becomes log.txt.1, and a new one begins
EVERY_SECONDS = 10.0  # between two lines of totals in a log
MOST_SAID = 1000  # sentences that are remembered
JOINING, WAITING, IN_LINE, WORKING, ENDED = "joining", "waiting", "in line", "working", "ended"


class Board:
    """Threads share it."""

    def __init__(self, terminal: Terminal, clients: int, folder: Path) -> None:
        self._terminal = terminal
        self._clients = clients
        self._lock = threading.Lock()
        self._states = Counter({JOINING: clients})
        self._sent = self._given_up = 0
        self._said: set[str] = set()
        handler = RotatingFileHandler(folder / LOG, maxBytes=MOST_LOG_BYTES, backupCount=1, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        handler.handleError = lambda record: None  # type: ignore[method-assign]  # a full disk ends nobody
        self._log = handler

    def of(self, name: str) -> MemberDisplay:
        return MemberDisplay(self, name)

    def log(self, name: str, text: str) -> None:
        line = f"{name}: {printable(text)}"
        self._log.handle(logging.LogRecord("fl", logging.INFO, "", 0, line, None, None))

    def say(self, text: str) -> None:
        self._terminal.say(text)

    def notice(self, name: str, text: str) -> None:
        """Say what happened to a client. What was said of another one before is only logged."""
        self.log(name, text)
        with self._lock:
            if text in self._said:
                return
            if len(self._said) >= MOST_SAID:
                self._said.clear()
            self._said.add(text)
        self._terminal.say(f"{name}: {text}")

    def move(self, before: str, now: str) -> None:
        with self._lock:
            self._states[before] -= 1
            self._states[now] += 1

    def count(self, *, sent: int = 0, given_up: int = 0) -> None:
        with self._lock:
            self._sent += sent
            self._given_up += given_up

    def show(self) -> None:
        """Show the totals. To be called now and then."""
        self._terminal.show(self.totals)

    @property
    def totals(self) -> str:
        with self._lock:
            return totals(self._clients, self._states, self._sent, self._given_up)

    def close(self) -> None:
        self._terminal.close()
        self._log.close()


def totals(clients: int, states: Mapping[str, int], sent: int, given_up: int) -> str:
    """One line about all clients."""
    parts = [f"{count} {state}" for state, count in sorted(states.items()) if count > 0]
    ended = [f"{sent} result{'' if sent == 1 else 's'} sent"] + ([f"{given_up} given up"] if given_up else [])
    return f"{clients} clients: {', '.join(parts)}. {', '.join(ended)}."


class MemberDisplay:
    """A client's display: its state counts on the board, and its words go into the file."""

    def __init__(self, board: Board, name: str) -> None:
        self._board, self._name, self._state = board, name, JOINING

    def say(self, text: str) -> None:
        self._board.log(self._name, text)

    def waiting(self) -> None:
        self.be(WAITING)

    def begin(self, title: str) -> None:
        self.be(WORKING)

    def at(self, phase: str, fraction: float, loss: float | None) -> None:
        if phase != self._state:
            self.be(phase)

    def be(self, state: str) -> None:
        self._board.move(self._state, state)
        self._state = state

    def close(self) -> None:
        self.be(ENDED)


class Terminal(Protocol):
    def say(self, text: str) -> None: ...

    def show(self, text: str) -> None:
        """Show the totals in place of earlier ones."""

    def close(self) -> None: ...


def for_terminal(out: TextIO) -> Terminal:
    return LiveTotals() if out.isatty() else PlainTotals(out)


class PlainTotals:
    """Lines with the time, for a log: of totals those that differ from the last ones, not too often."""

    def __init__(self, out: TextIO) -> None:
        self._lines = Lines(out)
        self._shown = ""
        self._next = 0.0

    def say(self, text: str) -> None:
        self._lines.say(text)

    def show(self, text: str) -> None:
        if text != self._shown and monotonic() >= self._next:
            self._shown, self._next = text, monotonic() + EVERY_SECONDS
            self._lines.say(text)

    def close(self) -> None:
        self._lines.close()


class LiveTotals:
    """One line that changes, below those that stay."""

    def __init__(self) -> None:
        self._bar = _bar()
        self._task = self._bar.add_task("starting")
        self._bar.start()

    def say(self, text: str) -> None:
        self._bar.console.print(display.printable(text), markup=False, highlight=False)

    def show(self, text: str) -> None:
        self._bar.update(self._task, description=text)

    def close(self) -> None:
        self._bar.stop()


def _bar() -> Progress:
    from rich.progress import Progress, SpinnerColumn, TextColumn

    text = TextColumn("{task.description}", markup=False)
    return Progress(SpinnerColumn(), text, transient=True, refresh_per_second=5)
