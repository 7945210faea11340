"""Reports at the terminal whether the server answers: at each change, and now and then while it is away."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import monotonic

REMIND_SECONDS = 60.0
REPEAT_SECONDS = 600.0  # before the same words about a stranger are repeated
MOST_WORDS = 20  # that are remembered


class Link:
    """Shared by the threads that call the server.

    A server that does not answer is away for every call. A stranger on the way may answer some calls and let others
    through, so its answers are kept per call.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._lock = threading.Lock()
        self._away = False
        self._away_since = 0.0
        self._said = 0.0
        self._strangers: set[str] = set()  # the calls that a stranger answers
        self._strangers_since = 0.0
        self._words_at = 0.0  # when words about a stranger were said last
        self._words: dict[str, float] = {}  # what was said, and when
        self._once: set[str] = set()

    def note(self, text: str) -> None:
        """Say something else about the server."""
        self._say(text)

    def once(self, key: str, text: str) -> None:
        """Say it once per process."""
        with self._lock:
            if key in self._once:
                return
            self._once.add(key)
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

    def stranger(self, call: str, reason: str, words: str) -> None:
        """Somebody else answered a call. words: who that seems to be, said after a minute."""
        with self._lock:
            now = monotonic()
            if not self._strangers:
                self._strangers_since = now
                if not self._away:
                    self._say(f"The server does not answer {call} ({reason}). Trying again until it does.")
            self._strangers.add(call)
            if now - max(self._strangers_since, self._words_at) >= REMIND_SECONDS and self._is_news(words, now):
                self._words_at = self._words[words] = now
                lasted = duration(now - self._strangers_since)
                self._say(f"For {lasted} something on the way has answered {call} in the server's place: {words}")

    def _is_news(self, words: str, now: float) -> bool:
        if len(self._words) > MOST_WORDS:  # a stranger with a new answer each time is not reported each time
            words = max(self._words, key=self._words.__getitem__)
        return words not in self._words or now - self._words[words] >= REPEAT_SECONDS

    def up(self, call: str = "") -> None:
        """A call got the server's answer."""
        if not self._away and not self._strangers:
            return
        with self._lock:
            since = [self._away_since] if self._away else []
            self._away = False
            if call in self._strangers:
                self._strangers.discard(call)
                since += [] if self._strangers else [self._strangers_since]
            if since:
                self._say(f"The server is back after {duration(monotonic() - min(since))}.")
            self._forget_words()

    def forget(self, call: str) -> None:
        """A call is not repeated, so its stranger is forgotten."""
        with self._lock:
            self._strangers.discard(call)
            self._forget_words()

    def _forget_words(self) -> None:
        if not self._strangers:
            self._words.clear()
            self._words_at = 0.0


def duration(seconds: float) -> str:
    """1 s, 59 s, 1 min 5 s, 2 h 3 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
