"""Sends the lines of the agent's terminal to the server, if the site chose `--send-log`."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from datetime import UTC, datetime

from clientagent.api import Api
from clientagent.display import Display, printable
from clientagent.errors import Dropped, Failed, TokenRefused

EVERY_SECONDS = 2.0
MOST_LINES = 200  # that wait, and in one call; the oldest go first
MOST_TEXT = 500  # characters of a line


class LogTail:
    """A display that also keeps its lines for the server. It may lose some, and never delays the work."""

    def __init__(self, terminal: Display) -> None:
        self._terminal = terminal
        self._lines: deque[dict[str, str]] = deque(maxlen=MOST_LINES)
        self._api: Api | None = None
        self._thread: threading.Thread | None = None

    def say(self, text: str) -> None:
        self._terminal.say(text)
        text = printable(text)
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._lines.extend({"time": now, "text": line[:MOST_TEXT]} for line in text.splitlines() if line.strip())

    def waiting(self) -> None:
        self._terminal.waiting()

    def begin(self, title: str) -> None:
        self._terminal.begin(title)

    def at(self, phase: str, fraction: float, loss: float | None) -> None:
        self._terminal.at(phase, fraction, loss)

    def start(self, api: Api) -> None:
        """Begin to send; `api` is this thread's alone."""
        self._api = api
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def close(self) -> None:
        if self._api is not None and self._thread is not None:
            self._api.abort()
            self._thread.join(2.0)
        self._terminal.close()

    def _run(self) -> None:
        assert self._api is not None
        with contextlib.suppress(Dropped, TokenRefused):  # the next call for work reports a refused token
            while not self._api.stop.wait(EVERY_SECONDS):
                self._send(self._api)
        self._api.close()

    def _send(self, api: Api) -> None:
        lines = [self._lines.popleft() for _ in range(len(self._lines))]
        if lines:
            with contextlib.suppress(Failed):
                api.log(lines)
