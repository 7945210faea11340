"""Credentials that were valid a moment ago: whose body is worth reading, and who is counted as a known caller.

This grants nothing: each route still asks the database, so a revoked credential is refused at once.
"""

from __future__ import annotations

import time
from contextlib import suppress

KEPT_SECONDS = 300.0
MOST = 20_000

Who = tuple[str, int]  # "client" or "user", and its key


class Seen:
    """Credentials with their owners. Threads may share it: each step is one operation of a dict."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Who, float]] = {}

    def note(self, credential: str, who: Who) -> None:
        if len(self._known) >= MOST and credential not in self._known:
            self._make_room()
        self._known[credential] = who, time.monotonic() + KEPT_SECONDS

    def who(self, credential: str) -> Who | None:
        found = self._known.get(credential)
        return found[0] if found and found[1] > time.monotonic() else None

    def forget(self, credential: str) -> None:
        self._known.pop(credential, None)

    def _make_room(self) -> None:
        for credential in list(self._known)[: MOST // 2]:
            with suppress(KeyError):
                del self._known[credential]


seen = Seen()
