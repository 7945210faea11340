"""What the rounds of private sessions cost: epsilon at a delta.

Two sets of clients are neighbours if they differ in one, all of whose updates count as zero in one of them. The
library that counts takes a second to load, so it is loaded the first time that something is counted.
"""

from __future__ import annotations

import importlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

ACCOUNTANT = "federation.fl.privacy.accountant"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one round. rate: with which each client was drawn by itself, where that counts: 1.0 is no amplification."""

    noise_multiplier: float
    rate: float = 1.0


def epsilon(costs: Sequence[Cost], delta: float) -> float:
    """Of all these rounds together; 0.0 for none."""
    return _epsilon(tuple(sorted(Counter((one.noise_multiplier, one.rate) for one in costs).items())), delta)


def affordable(before: Sequence[Cost], each: Cost, delta: float, budget: float, most: int) -> int:
    """How many more such rounds keep within the budget, at most `most`."""
    low, high = 0, most + 1  # low is affordable or zero, high is not
    while high - low > 1:
        middle = (low + high) // 2
        if epsilon([*before, *[each] * middle], delta) <= budget:
            low = middle
        else:
            high = middle
    return low


@lru_cache(maxsize=256)
def _epsilon(rounds: tuple[tuple[tuple[float, float], int], ...], delta: float) -> float:
    if not rounds:
        return 0.0
    found = float(importlib.import_module(ACCOUNTANT).epsilon(rounds, delta))
    return found if math.isfinite(found) else math.inf
