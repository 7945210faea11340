"""Krum: Blanchard et al. 2017, "Machine Learning with Adversaries" (arXiv:1703.02757)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from federation.fl.strategies.gram import distances
from federation.fl.strategies.robust import ByDistances
from federation.fl.weights import Array


@dataclass(frozen=True, slots=True)
class Krum(ByDistances):
    """Section 4: w + delta_k of the k with the smallest score, sum of |delta_k - delta_j|^2 over its n - f - 2 nearest.

    Assumes n >= 2 f + 3 updates, of which at most f lie. One client's update becomes the step: it holds against large
    lies, and learns less than a mean. Buffers: the median.
    Cost: two readings of the files, n (n + 1) / 2 products a coordinate.
    """

    name: ClassVar[str] = "krum"
    title: ClassVar[str] = "Krum"
    summary: ClassVar[str] = "The one update that is closest to the others."
    when: ClassVar[str] = "Choose Multi-Krum in its place, unless one client's update alone is what you want."

    @property
    def rule_needs(self) -> int:
        return 2 * self.liars + 3

    def weights(self, products: Array) -> Array:
        found = np.zeros(len(products))
        found[ranked(distances(products), self.liars)[0]] = 1.0
        return found


def ranked(squares: Array, liars: int) -> Array:
    """The rows by their scores, the smallest first: (n, n) -> (n,). Of equal ones the one that is nearer to all.

    With one neighbour the two that are nearest to each other have the same score.
    """
    return np.lexsort((squares.sum(axis=1), scores(squares, liars)))


def scores(squares: Array, liars: int) -> Array:
    """Each row's sum of squared distances to its n - f - 2 nearest others, at least one: (n, n) -> (n,)."""
    neighbours = max(1, len(squares) - liars - 2)
    return np.asarray(np.sort(squares, axis=1)[:, 1 : 1 + neighbours].sum(axis=1))
