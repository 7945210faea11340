"""What the distances between a round's updates are: one matrix of scalar products, made in one reading of the files.

Only small arrays come after it. Sums run in numpy's own order, not in that of a BLAS: the same updates give the same
bytes on all machines of one kind.
"""

from functools import partial

import numpy as np

from federation.fl.strategies.strategy import Block, Updates
from federation.fl.weights import Array

COLUMNS = 2**14  # of all rows at a time: they stay in the processor's cache
COLUMNS_OF_BLAS = 2**12


def gram(updates: Updates, slot: str = "") -> Array:
    """G[i, j] = <delta_i, delta_j> over all float tensors that are no buffers: (n, n) float64.

    slot: an array of the strategy's that is one more row, the last. Cost: n (n + 1) / 2 products for each coordinate.
    An entry that overflows is not finite.
    """
    rows = len(updates.num_examples) + bool(slot)
    upper = np.zeros((rows, rows)) + updates.reduce(partial(_of_block, slot))
    return np.asarray(upper + np.triu(upper, 1).T)


def _of_block(slot: str, block: Block) -> Array:
    """The upper triangle of a block's products."""
    rows = np.vstack([block.deltas, block.slots[slot]]) if slot else block.deltas
    found = np.zeros((len(rows), len(rows)))
    for start in range(0, rows.shape[1], COLUMNS):
        part = rows[:, start : start + COLUMNS].astype(np.float64)
        for row in range(len(part)):
            found[row, row:] += np.einsum("jd,d->j", part[row:], part[row])
    return found


def rough(updates: Updates) -> tuple[Array, float]:
    """The same matrix by BLAS, and how far `gram` may be from it.

    For ten rows of 65,536 float32 values it took 0.5 ms of one core, `gram` 1.8 ms. An entry of both differs by at most
    error * |delta_i| |delta_j|, in whatever order each adds: a sum of m products is off by at most m u sum |x y|
    (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). So it decides alike on every machine what it
    decides with more room than that, and nothing else may be taken from it.
    """
    count = len(updates.num_examples)
    found = updates.reduce(_of_block_by_blas)
    upper, parts = np.triu(found[:count, :count]), float(found[count, 0])
    unit = np.finfo(np.float64).eps / 2
    return upper + np.triu(upper, 1).T, 2 * (COLUMNS + parts + 2) * unit


def _of_block_by_blas(block: Block) -> Array:
    """The products of a block, and below them how many parts were added up.

    The rows are multiplied with themselves and one row of zeros. For what it sees to be a matrix and its transpose,
    OpenBLAS took 0.8 ms in place of 0.5.
    """
    count, size = block.deltas.shape
    found, kept = np.zeros((count + 1, count + 1)), np.zeros((count + 1, min(COLUMNS_OF_BLAS, size)))
    for start in range(0, size, COLUMNS_OF_BLAS):
        part = kept[:, : min(COLUMNS_OF_BLAS, size - start)]
        part[:count] = block.deltas[:, start : start + COLUMNS_OF_BLAS]
        found[:count] += part[:count] @ part.T
        found[count] += 1
    return found


def mixed(products: Array, mixture: Array) -> Array:
    """The products of rows that are sums of the updates: M G M^T. mixture: (m, n), not negative.

    A sum that holds an update whose square overflowed has infinite products.
    """
    known = np.isfinite(np.diagonal(products))
    finite = np.where(known[:, np.newaxis] & known, products, 0.0)
    found = np.einsum("ij,jk,lk->il", mixture, finite, mixture)
    lost = (mixture[:, ~known] > 0).any(axis=1)
    found[lost], found[:, lost] = np.inf, np.inf
    return np.asarray(found)


def distances(products: Array) -> Array:
    """|x_i - x_j|^2, (n, n): never negative, 0 from itself, infinite where it overflows."""
    squares = np.diagonal(products)
    with np.errstate(all="ignore"):
        found = squares[:, np.newaxis] + squares - 2 * products
    found = np.where(np.isfinite(found), np.maximum(found, 0.0), np.inf)
    np.fill_diagonal(found, 0.0)
    return found


def distances_to(products: Array, weights: Array) -> Array:
    """|x_i - z|^2 of each row from z = sum_k w_k x_k, (n,). Rows whose squares overflow must have no weight."""
    known = np.isfinite(np.diagonal(products))
    finite = np.where(known[:, np.newaxis] & known, products, 0.0)
    along = np.einsum("ij,j->i", finite, weights)
    found = np.diagonal(finite) - 2 * along + np.einsum("i,i->", weights, along)
    return np.asarray(np.where(known, np.maximum(found, 0.0), np.inf))
