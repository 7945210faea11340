"""Which updates are to blame if a block of the next model cannot be stored. The answer depends only on the files.

It is rarely needed: a good block costs one comparison of norms that are known anyway.
"""

import numpy as np

from federation.fl import weights
from federation.fl.strategies.strategy import Block
from federation.fl.weights import Array


def alone(block: Block, dtype: str, squares: Array) -> list[int]:
    """The updates that would give a value that is not finite if each were the only one: base + delta.

    squares: (n,) squared norms of the rows, within this block. No value exceeds the norm, so hardly any row needs a
    check.
    """
    farthest = np.sqrt(block.base @ block.base) + np.sqrt(squares)
    doubtful = np.flatnonzero(~(farthest < weights.LARGEST[dtype] / 2))
    return [int(row) for row in doubtful if not _is_finite(block.base + block.deltas[row], dtype)]


def not_finite(values: Array, dtype: str) -> list[int]:
    """The rows of clients' own values that cannot be stored."""
    return [row for row, own in enumerate(values) if not _is_finite(own, dtype)]


def together(deltas: Array, share: Array, values: Array, dtype: str) -> list[int]:
    """The update that weighs most in the values that are not finite; none if no update moves them."""
    finite = weights.finite(values, dtype)
    weighed = np.abs(deltas[:, ~finite].astype(np.float64)) * share[:, np.newaxis]
    return _largest(np.nan_to_num(weighed, nan=np.inf, posinf=np.inf).max(axis=1))


def integers(base: Array, deltas: Array, share: Array) -> list[int]:
    """The updates that each leave an integer tensor's range; else the one that moves it most."""
    with np.errstate(all="ignore"):
        after = base + deltas
        outside = ((after < base) != (deltas < 0)).any(axis=1)
    if outside.any():
        return [int(row) for row in np.flatnonzero(outside)]
    return _largest((np.abs(deltas.astype(np.float64)) * share[:, np.newaxis]).max(axis=1))


def _largest(weighed: Array) -> list[int]:
    row = int(np.argmax(weighed))
    return [row] if weighed[row] > 0 else []


def _is_finite(values: Array, dtype: str) -> bool:
    return weights.all_finite(weights.narrow(values, dtype), dtype)
