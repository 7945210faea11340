"""How long a call for work may wait when something on the way ends calls that wait."""

from __future__ import annotations

import math
from collections.abc import Callable
from time import monotonic

LEAST_SECONDS = 2.0  # a call that ends sooner did not end because it waited
SLACK_SECONDS = 1.0  # how late the server's own answer may be
SHARE = 0.8  # of the time after which a call ended, for the next call
MOST_IN_A_ROW = 3  # ends without an answer between: then the server is away
LONGER_AFTER_SECONDS = 600.0


class Polls:
    """Learns from calls that ended early. For one thread."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._most = math.inf
        self._asked = self._wanted = 0.0
        self._longer_at = 0.0
        self._ended = 0  # in a row
        self._said = False

    def wait(self, wanted: float) -> float:
        """The seconds to ask for now."""
        if monotonic() >= self._longer_at:
            self._most = math.inf  # whatever ended them may be gone
        self._wanted, self._asked = wanted, min(wanted, self._most)
        return self._asked

    def ended(self, seconds: float) -> bool:
        """Whether a call that ended after so long may just have waited too long."""
        if not LEAST_SECONDS <= seconds <= self._asked + SLACK_SECONDS or self._ended >= MOST_IN_A_ROW:
            if not self._said:
                self._most = math.inf  # the server was away, it seems
            return False
        self._ended += 1
        self._most = SHARE * seconds
        self._longer_at = monotonic() + LONGER_AFTER_SECONDS
        return True

    def answered(self) -> None:
        """The server answered."""
        if self._asked < self._wanted and not self._said:
            self._said = True
            self._say(
                f"Something on the way ends calls that wait for about {self._most / SHARE:.0f} s. "
                f"The agent asks for work every {self._asked:.0f} s."
            )
        self._ended = 0
