"""Defences of a model against single bad updates. Each is a switch of a session. Older sessions have none."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from federation.fl.weights import Array

MOST_TIMES_TOLD = 2
MOST_MEDIANS = 100


class Defence(StrEnum):
    """EXAMPLES: a claim far above the client's reported number of examples does not count. NORMS: an update far larger
    than the others is scaled down. FINITE: an update that would give the model a value that cannot be stored is left
    out."""

    EXAMPLES = "examples"
    NORMS = "norms"
    FINITE = "finite"


@dataclass(frozen=True, slots=True)
class Clipping:
    """How updates are scaled. scale: (n,) float64, 1.0 for unchanged ones; limit: the largest norm allowed."""

    scale: Array
    median: float
    limit: float

    @property
    def rows(self) -> list[int]:
        """The updates that are scaled down."""
        return [int(row) for row in np.flatnonzero(self.scale < 1.0)]


def counted_examples(claimed: int, told: int | None) -> int:
    """How many examples an update counts for: the claim, or `told` if the claim is more than twice that."""
    if told is None or claimed <= MOST_TIMES_TOLD * told:
        return claimed
    return max(1, told)


def clipping(norms: Sequence[float | None]) -> Clipping | None:
    """How to scale updates so that no norm exceeds 100 times their median; None if nothing needs scaling.

    The median of one or two norms follows the largest, so this needs at least three updates, and more than half of
    them must be honest. Nothing is scaled if the median is 0 or unknown.
    """
    known = np.array([np.nan if norm is None else norm for norm in norms], np.float64)
    told = known[~np.isnan(known)]
    median = statistics.median(told.tolist()) if told.size else 0.0
    limit = MOST_MEDIANS * median
    with np.errstate(all="ignore"):
        scale = np.where(known > limit, limit / known, 1.0)
    if median <= 0 or not (scale < 1.0).any():
        return None
    return Clipping(scale, median, limit)
