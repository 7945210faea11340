"""The L2 norm of an update, computed while its values are read."""

import math
import sys

import numpy as np

from federation.fl import weights
from federation.fl.weights import Array

ROW = 2**10  # values summed in their own precision: few enough for float32, and for a single thread
SMALLEST = 1e-20  # below it squares of float32 may have vanished


def squared(stored: Array, dtype: str) -> float:
    """The sum of the squares of stored values, exact to about a millionth; not finite if a value is not.

    Short rows are summed in the values' precision, which costs little beside the digest, and in float64 if a row
    leaves the range of float32.
    """
    values = stored.astype(np.float32) if dtype == "I8" else weights.widen(stored, dtype)
    whole = len(values) // ROW * ROW
    rows = (values[:whole].reshape(-1, ROW), values[np.newaxis, whole:])
    with np.errstate(all="ignore"):
        return sum(_of_rows(part) for part in rows if part.size)


def norm(total: float) -> float:
    """The root of a sum of squares; the largest float if that overflowed."""
    return min(math.sqrt(total), sys.float_info.max)


def _of_rows(rows: Array) -> float:
    squares = np.vecdot(rows, rows)
    total = float(squares.sum(dtype=np.float64))
    if rows.dtype != np.float32 or (math.isfinite(total) and squares.min() > SMALLEST):
        return total
    doubtful = ~((squares > SMALLEST) & np.isfinite(squares))
    wide = rows[doubtful].astype(np.float64)
    return float(squares[~doubtful].sum(dtype=np.float64) + np.vecdot(wide, wide).sum())
