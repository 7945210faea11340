"""Whose updates are odd beside the others' of a round: a hint for people, on which no model depends.

An update is compared with the others by what the aggregation measures anyway: its L2 norm, and the angle between it and
the mean direction of the others (`aggregation.Aggregated`). Clients whose data differ train different updates, so the
limits are wide, an update is odd only beside others that are not, and only who is odd `PATIENCE` times in a row is
suspected. `benchmarks/suspicion.py` counts who is.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

LEAST_UPDATES = 4  # of a round: of fewer nobody can say which is the odd one
PATIENCE = 3  # odd updates in a row
AWAY = -0.25  # the cosine to the others from which on an update points away from them,
APART = 0.5  # if the median one is so much larger
TIMES_AS_LARGE = 5.0  # as the median norm
TIMES_AS_FAR = 2.5  # as the median distance
LEAST_DISTANCE = 0.5  # of the median norm, that the median distance counts as: updates may all be alike
MOST = 1e9  # times that are told


class Sign(StrEnum):
    """DIRECTION: it points away from the others. SIZE: it is far larger. DISTANCE: it is far from all of them."""

    DIRECTION = "direction"
    SIZE = "size"
    DISTANCE = "distance"


@dataclass(frozen=True, slots=True)
class Odd:
    """value: the cosine of a direction; how many times as large, or as far away, as the median."""

    sign: Sign
    value: float


def odd(norms: Sequence[float], alignments: Sequence[float | None]) -> list[Odd | None]:
    """What is odd about each update of a round; of nobody if it would be half of them or more."""
    known = [value for value in alignments if value is not None]
    usual = statistics.median(norms) if norms else 0.0
    if len(known) < LEAST_UPDATES or usual <= 0:
        return [None] * len(norms)
    direction = statistics.median(known)
    far = [_distance(norm / usual, alignment) for norm, alignment in zip(norms, alignments, strict=True)]
    usually_far = max(LEAST_DISTANCE, statistics.median(far))
    found = [
        _odd(norm / usual, alignment, distance / usually_far, direction)
        for norm, alignment, distance in zip(norms, alignments, far, strict=True)
    ]
    return found if 2 * sum(one is not None for one in found) < len(found) else [None] * len(norms)


def _odd(size: float, alignment: float | None, distance: float, direction: float) -> Odd | None:
    if alignment is not None and alignment < min(AWAY, direction - APART):
        return Odd(Sign.DIRECTION, alignment)
    if size > TIMES_AS_LARGE:
        return Odd(Sign.SIZE, min(MOST, size))
    return Odd(Sign.DISTANCE, min(MOST, distance)) if distance > TIMES_AS_FAR else None


def _distance(size: float, alignment: float | None) -> float:
    """How far an update is from one of the usual size, 1, that points where the others do."""
    return math.hypot(size - 1, math.sqrt(2 * size * (1 - (alignment or 0.0))))
