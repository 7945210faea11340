"""Token buckets: how many requests one caller may make, bursts included."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

MOST_CALLERS = 20_000


class Buckets:
    """One bucket per caller. It gains `rate` a second up to `burst`; a request needs its cost in the bucket.

    Full buckets are forgotten first, so memory depends on the callers of the last seconds.
    """

    def __init__(self, rate: float, burst: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst = rate, burst
        self._clock = clock
        self._left: dict[Hashable, tuple[float, float]] = {}  # what is left, and since when

    def take(self, caller: Hashable, cost: float = 1.0) -> float:
        """Take from a caller's bucket. Returns 0, or after how many seconds this would succeed."""
        now = self._clock()
        found = self._left.get(caller)
        left = self.burst if found is None else min(self.burst, found[0] + (now - found[1]) * self.rate)
        if left < cost:
            return (cost - left) / self.rate
        self._note(caller, left - cost, now)
        return 0.0

    def charge(self, caller: Hashable, cost: float) -> None:
        """Take a cost that is only known afterwards. A bucket may owe as much as it can hold."""
        now = self._clock()
        left, then = self._left.get(caller, (self.burst, now))
        left = min(self.burst, left + (now - then) * self.rate)
        self._note(caller, max(-self.burst, left - cost), now)

    def _note(self, caller: Hashable, left: float, now: float) -> None:
        if len(self._left) >= MOST_CALLERS and caller not in self._left:
            self._forget(now)
        self._left[caller] = left, now

    def _forget(self, now: float) -> None:
        """Drop the full ones, or the oldest half if all are in use."""
        full = [who for who, (left, then) in self._left.items() if left + (now - then) * self.rate >= self.burst]
        for who in full or list(self._left)[: MOST_CALLERS // 2]:
            del self._left[who]
