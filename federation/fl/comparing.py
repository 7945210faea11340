"""How the updates of a round lie to each other and to the step that was made of them."""

import math

import numpy as np

from federation.fl.weights import Array

COMPARED = 6  # scalar products of an update, see `compare`
LEAST_OTHERS = 1e-6  # of the squared sum of all directions: below it rounding decides where the others' sum points


def compare(deltas: Array, step: Array, inverse_norms: Array, weight: int) -> Array:
    """Scalar products of the updates, the step and the sum of the updates' directions: (COMPARED, n).

    Each update with itself and with the step, the step with itself; then so many times each update with itself and with
    the sum, and the sum with itself. In the updates' precision; again in float64 where that overflows.
    """
    directions = inverse_norms.astype(deltas.dtype) @ deltas if weight else None
    return _products(deltas, step.astype(deltas.dtype), directions, weight)


def _products(deltas: Array, step: Array, directions: Array | None, weight: int) -> Array:
    products = np.zeros((COMPARED, len(deltas)))
    products[0], products[1], products[2] = np.vecdot(deltas, deltas), deltas @ step, step @ step
    if directions is not None:
        products[3:] = products[0], deltas @ directions, np.full(len(deltas), directions @ directions)
        products[3:] *= weight
    if deltas.dtype == np.float32 and not np.isfinite(products).all():
        wide = None if directions is None else directions.astype(np.float64)
        rows = (row[np.newaxis].astype(np.float64) for row in deltas)
        return np.hstack([_products(row, step.astype(np.float64), wide, weight) for row in rows])
    return products


def cosines(compared: Array) -> list[float]:
    squares, products, step_squares = compared[:3]
    with np.errstate(all="ignore"):
        found = products / (np.sqrt(squares) * np.sqrt(step_squares))
    return [min(1.0, max(-1.0, cosine)) if math.isfinite(cosine) else 0.0 for cosine in found.tolist()]


def alignments(compared: Array, inverse_norms: Array) -> list[float | None]:
    """cos(delta_k, S - u_k), with u_k the update's direction and S the sum of all."""
    squares, products, sum_squares = compared[3:]
    with np.errstate(all="ignore"):
        along = products - inverse_norms * squares
        others = sum_squares - 2 * inverse_norms * products + inverse_norms**2 * squares
        found = along / (np.sqrt(squares) * np.sqrt(others))
    known = np.isfinite(found) & (inverse_norms > 0) & (others > LEAST_OTHERS * sum_squares)
    return [min(1.0, max(-1.0, cosine)) if ok else None for cosine, ok in zip(found.tolist(), known, strict=True)]
