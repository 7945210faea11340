"""What one bad update may not do to a model. Each is a switch of a session; sessions without any are as before."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from federation.fl.weights import Array

MOST_TIMES_TOLD = 2
MOST_MEDIANS = 100


class Defence(StrEnum):
    """EXAMPLES: more examples than a client told do not count. NORMS: an update that is far larger than the others is
    scaled down. FINITE: one that would give the model a value that cannot be stored is left out."""

    EXAMPLES = "examples"
    NORMS = "norms"
    FINITE = "finite"


@dataclass(frozen=True, slots=True)
class Clipping:
    """How updates are scaled. scale: (n,) float64, 1.0 for those that stay as they are; limit: of the norms."""

    scale: Array
    median: float
    limit: float

    @property
    def rows(self) -> list[int]:
        """The updates that are scaled down."""
        return [int(row) for row in np.flatnonzero(self.scale < 1.0)]


def counted_examples(claimed: int, told: int | None) -> int:
    """How many examples an update counts for: as claimed, or as told where more than twice that is claimed."""
    if told is None or claimed <= MOST_TIMES_TOLD * told:
        return claimed
    return max(1, told)


def clipping(norms: Sequence[float | None]) -> Clipping | None:
    """What is to be scaled so that no norm exceeds 100 times their median; None where nothing is.

    The median of one or two norms follows the largest of them, so that three updates are needed for it to do
    anything, and more than half of them must be honest. Nothing is scaled where the median is 0 or unknown.
    """
    known = np.array([np.nan if norm is None else norm for norm in norms], np.float64)
    median = float(np.nanmedian(known)) if not np.isnan(known).all() else 0.0
    limit = MOST_MEDIANS * median
    with np.errstate(all="ignore"):
        scale = np.where(known > limit, limit / known, 1.0)
    if median <= 0 or not (scale < 1.0).any():
        return None
    return Clipping(scale, median, limit)
