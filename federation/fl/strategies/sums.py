"""Several means of the same rows at once: what stands before a robust rule puts them in the place of the updates."""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from federation.fl.strategies.strategy import weighted_sum
from federation.fl.weights import Array

COLUMNS = 2**13  # of all rows at a time, in float64: they stay in the processor's cache
MOST_ROWS = 100  # beyond it blocks are so short that calls of numpy cost more than the additions that they save

Members = tuple[int, ...]  # of a sum, in seat order
Step = tuple[int, int, tuple[int, ...]]  # the sum at a depth is the one above it and a row; which sums it is


def sums(rows: Array, mixture: Array) -> Array:
    """mixture @ rows in the precision of rows: (m, n), (n, d) -> (m, d). Each sum as `weighted_sum` makes it.

    A sum whose weights are all the same, as those of mixing and bucketing are, is added up in seat order from rows that
    were multiplied once. Sums that begin with the same rows share what these come to. For ten updates of which each is
    mixed with seven others that is half of the additions or less.
    """
    found = np.empty((len(mixture), rows.shape[1]), rows.dtype)
    for weight, members in _by_weight(mixture.tobytes(), len(mixture)).items():
        if weight is None or len(rows) > MOST_ROWS:
            for row in members:
                found[row] = weighted_sum(rows, mixture[row])
        else:
            _add(rows, weight, _steps(tuple(members.items())), found)
    return found


@lru_cache(maxsize=8)  # every block of a round asks for the same
def _by_weight(mixture: bytes, count: int) -> Mapping[float | None, Mapping[int, Members]]:
    """The members of those sums that have only this weight beside zeros; None: of those that have several, or none.

    mixture: float64 of so many sums.
    """
    found: dict[float | None, dict[int, Members]] = {}
    for row, weights in enumerate(np.frombuffer(mixture).reshape(count, -1)):
        distinct = np.unique(weights[weights != 0])
        weight = float(distinct[0]) if len(distinct) == 1 else None
        found.setdefault(weight, {})[row] = tuple(np.flatnonzero(weights).tolist())
    return found


@lru_cache(maxsize=8)
def _steps(members: tuple[tuple[int, Members], ...]) -> tuple[Step, ...]:
    """The additions that make all sums, each beginning where it parts from the one before."""
    wanted: dict[Members, list[int]] = {}
    for row, own in members:
        wanted.setdefault(own, []).append(row)
    found: list[Step] = []
    last: Members = ()
    for own in sorted(wanted):
        for depth in range(_shared(own, last), len(own)):
            found.append((depth, own[depth], tuple(wanted.get(own[: depth + 1], ()))))
        last = own
    return tuple(found)


def _shared(own: Members, other: Members) -> int:
    """With how many of the same members both begin."""
    pairs = enumerate(zip(own, other, strict=False))
    return next((place for place, (one, another) in pairs if one != another), min(len(own), len(other)))


def _add(rows: Array, weight: float, steps: tuple[Step, ...], found: Array) -> None:
    """Make the sums of these steps in found, piece by piece. The first addition is to zero: -0.0 becomes 0.0."""
    size = rows.shape[1]
    width = min(COLUMNS, size)
    scaled, partial = np.empty((len(rows), width)), np.zeros((2 + max(depth for depth, _, _ in steps), width))
    for start in range(0, size, width):
        end = min(start + width, size)
        scaled, partial = scaled[:, : end - start], partial[:, : end - start]
        scaled[:] = rows[:, start:end]
        scaled *= weight
        weighted, totals = list(scaled), list(partial)  # views cost as much as the additions: they are made once
        for depth, row, done in steps:
            np.add(totals[depth], weighted[row], totals[depth + 1])
            for place in done:
                found[place, start:end] = totals[depth + 1]
