"""Curves with fewer points that look the same: of each stretch its lowest, its highest and its last."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def thin(values: Array, curve: Array, stretch: int) -> Array:
    """Of each stretch of a curve, the indices of the lowest, the highest and the last point, and of the first gap.

    values: (n,), NaN is a gap. curve: (n,) which curve a value belongs to, ascending. stretch: points.
    """
    begins = np.flatnonzero(np.diff(curve, prepend=-1))
    place = np.arange(len(values)) - np.repeat(begins, np.diff(begins, append=len(values)))
    cuts = np.flatnonzero(place % stretch == 0)
    part = np.repeat(np.arange(len(cuts)), np.diff(cuts, append=len(values)))
    gaps = np.isnan(values)
    lowest, highest = np.where(gaps, np.inf, values), np.where(gaps, -np.inf, values)
    kept = [
        _first(lowest == np.minimum.reduceat(lowest, cuts)[part], part),
        _first(highest == np.maximum.reduceat(highest, cuts)[part], part),
        _first(gaps, part),
        np.append(cuts[1:], len(values)) - 1,
    ]
    return np.unique(np.concatenate(kept))


def _first(marked: Array, part: Array) -> Array:
    """The first marked index of each part that has one."""
    found = np.flatnonzero(marked)
    return found[np.flatnonzero(np.diff(part[found], prepend=-1))]
