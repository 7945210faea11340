"""Sends how far a piece of work is, and its points, so that training never waits for the network."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from clientagent.api import Api
from clientagent.errors import Dropped, Ends, Failed
from clientagent.stopwatch import Stopwatch

EVERY_SECONDS = 1.0  # between two calls, and before the first: short work sends everything at its end, in one
HEARTBEAT_SECONDS = 10.0  # without news, so that the server knows that we live and can stop us
MOST_POINTS = 1000  # a call
MOST_WAITING = 200_000  # points, while the server is away; the oldest go first
WAITING = "waiting"  # no phase of the contract

Advance = Callable[[float], None]
"""advance(fraction): how far a transfer is. Raises Dropped when it should end."""


class Progress:
    """One participation's stream. Its thread lives from `with` to the end of the block."""

    def __init__(self, api: Api, participation: str, say: Callable[[str], None]) -> None:
        self.dropped = threading.Event()
        self._api = api
        self._mine = api.another(threading.Event())  # the thread's: a connection of its own
        self._participation = participation
        self._say = say
        self._where = ("downloading", 0.0)
        self._watch = Stopwatch()
        self._points: deque[dict[str, Any]] = deque(maxlen=MOST_WAITING)
        self._sent: list[dict[str, Any]] = []  # without an answer yet
        self._reason = ""
        self._news = True
        self._rests = False  # it waits for a worker
        self._went_on = -math.inf  # when it went on after that
        self._sending = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._mine.abort()
        self._thread.join(2.0)

    def at(self, phase: str, fraction: float) -> None:
        """Note where the work is. Raises Dropped once the server no longer needs it."""
        self._where = (phase, min(1.0, max(0.0, fraction)))
        self._watch.at(phase, fraction)
        self._news = True
        self._go_on()

    def _go_on(self) -> None:
        if self.dropped.is_set():
            raise Dropped(self._reason)

    def waits(self) -> None:
        """Note that the present phase does not go on. The server only hears that we live."""
        self._watch.at(WAITING, 0.0)
        self._rests = True

    def resumes(self) -> None:
        """Note that it goes on."""
        self._watch.at(self._where[0], 0.0)
        self._went_on, self._rests = monotonic(), False

    def points(self, step: int, metrics: Mapping[str, float], time: datetime | None = None) -> None:
        """Note the values of curves at a step. time: when it was done; None: now."""
        now = (time or datetime.now(UTC)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        for name, value in metrics.items():
            finite = float(value) if math.isfinite(value) else None
            self._points.append({"name": name, "step": step, "value": finite, "time": now})

    def unconfirmed(self) -> list[dict[str, Any]]:
        """The points that the server may lack."""
        return [*self._sent, *self._points]

    def send_again(self, points: Iterable[dict[str, Any]]) -> None:
        """Add points that were unconfirmed at an earlier start. The server counts no point twice."""
        self._points.extend(points)

    def flush(self) -> None:
        """Send what is left, and how long each phase took, now, from the caller's thread. Raises Dropped."""
        timings = self._watch.seconds
        with self._sending:
            self._send(self._api, timings)
            while self._points and not self.dropped.is_set():
                self._send(self._api, timings)
        self._go_on()

    def _run(self) -> None:
        last = monotonic()
        try:
            while not self._mine.stop.wait(EVERY_SECONDS):
                if self._is_due(monotonic() - last):
                    with self._sending:
                        self._send(self._mine)
                    last = monotonic()
        except (Dropped, Ends) as error:  # the next call reports what ends the agent
            self._drop(str(error))
        finally:
            self._mine.close()

    def _is_due(self, silent: float) -> bool:
        """Whether there is something to say now. silent: seconds since the last call."""
        if silent >= HEARTBEAT_SECONDS:
            return True
        has_begun = not self._rests and monotonic() - self._went_on >= EVERY_SECONDS
        return has_begun and (self._news or bool(self._points))

    def _send(self, api: Api, timings: Mapping[str, float] | None = None) -> None:
        """One call with what waits; `_sending` is held."""
        self._news = False
        for _ in range(min(MOST_POINTS, len(self._points))):
            self._sent.append(self._points[0])  # in both for a moment: `unconfirmed` never misses one
            self._points.popleft()
        try:
            if not api.progress(self._participation, *self._where, self._sent, timings):
                self._drop("The server no longer needs this work.")
        except Failed as error:  # a curve is not worth the work
            self._say(f"The server does not accept the points of this work: {error}")
        self._sent = []

    def _drop(self, reason: str) -> None:
        self._reason = self._reason or reason
        self.dropped.set()
