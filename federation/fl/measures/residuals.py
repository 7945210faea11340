"""How far predicted numbers are from the true ones: counts that sites can add, in units that they share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from federation.fl.weights import Array

BINS = 40
LIMIT = 2.0  # units; the outer bins also hold what lies beyond
SCALE = 1000  # sums are in thousandths, because counts are whole numbers
MOST = 10**12  # of one count


def histogram(targets: Array, predictions: Array, unit: float) -> list[int]:
    """Of prediction - target in units, from -LIMIT to LIMIT."""
    off = np.clip((predictions - targets) / unit, -LIMIT, LIMIT)
    at = np.minimum(((off + LIMIT) * (BINS / (2 * LIMIT))).astype(np.int64), BINS - 1)
    found: list[int] = np.bincount(at, minlength=BINS).tolist()
    return found


def sums(targets: Array, predictions: Array, unit: float) -> list[int] | None:
    """What `Sums` reads. None if one of them is too large to be sent: then the unit does not fit the data."""
    true, off = targets.astype(np.float64) / unit, (predictions.astype(np.float64) - targets) / unit
    found = [true.clip(0).sum(), (-true).clip(0).sum(), (true**2).sum(), off.clip(0).sum()]
    found += [(-off).clip(0).sum(), (off**2).sum()]
    if not all(np.isfinite(one) and one * SCALE < MOST for one in found):
        return None
    return [len(targets), *(round(one * SCALE) for one in found)]


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over examples, in units or their squares. above, below: of targets, and of predictions against them."""

    examples: int
    targets: float
    targets_squared: float
    above: float
    below: float
    squared: float

    @property
    def mean_absolute(self) -> float:
        return (self.above + self.below) / self.examples

    @property
    def root_mean_square(self) -> float:
        found: float = np.sqrt(self.squared / self.examples)
        return float(found)

    @property
    def bias(self) -> float:
        """The mean of prediction - target."""
        return (self.above - self.below) / self.examples

    @property
    def determination(self) -> float | None:
        """R2, against the mean of all these targets. None if they do not vary."""
        spread = self.targets_squared - self.targets**2 / self.examples
        return 1 - self.squared / spread if spread > self.targets_squared * 1e-9 else None


def read(counts: Sequence[int]) -> Sums | None:
    """None without examples."""
    if len(counts) != 7 or not counts[0]:
        return None
    positive, negative, squared, above, below, off = (one / SCALE for one in counts[1:])
    return Sums(counts[0], positive - negative, squared, above, below, off)
