"""Bulyan: El Mhamdi et al. 2018, "The Hidden Vulnerability of Distributed Learning in Byzantium" (arXiv:1802.07927)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from federation.fl.strategies.gram import distances, gram, mixed
from federation.fl.strategies.krum import ranked
from federation.fl.strategies.ordering import mean_around_median, median
from federation.fl.strategies.robust import ByCoordinates, RowsPlan, rows_of
from federation.fl.strategies.strategy import Block, Plan, Updates
from federation.fl.weights import Array


@dataclass(frozen=True, slots=True)
class Bulyan(ByCoordinates):
    """Section 4, over Krum: n - 2 f updates are chosen, then each coordinate is the mean of its n - 4 f values nearest
    to their median.

    Updates are chosen one after another, each time Krum's among those that are left. Assumes n >= 4 f + 3 updates, of
    which at most f lie. Buffers: the median. Cost: two readings of the files, n (n + 1) / 2 products and a sort for
    each coordinate.
    """

    name: ClassVar[str] = "bulyan"
    title: ClassVar[str] = "Bulyan"
    summary: ClassVar[str] = "Krum several times, then the values of each coordinate around their median."
    when: ClassVar[str] = (
        "Choose it where more than four times as many report as may lie, and lies may hide in a few weights."
    )

    @property
    def rule_needs(self) -> int:
        return 4 * self.liars + 3

    def prepare(self, updates: Updates) -> RowsPlan:
        self.require(updates)
        count, products = len(updates.num_examples), gram(updates)
        mixture = self.mixture(updates, lambda: products)
        if mixture is None:
            mixture = np.eye(count)
        else:
            products = mixed(products, mixture)
        return RowsPlan(np.full(count, 1 / count), rows=mixture[chosen(distances(products), self.liars)])

    def step(self, plan: Plan, block: Block) -> tuple[Array, dict[str, Array]]:
        rows = rows_of(plan, block)
        return block.base + mean_around_median(rows, len(rows) - 2 * self.liars), {}

    def combine(self, plan: Plan, values: Array) -> Array:
        return median(values)


def chosen(squares: Array, liars: int) -> list[int]:
    """The n - 2 f rows that Krum picks one after another, in seat order. squares: (n, n)."""
    left, found = list(range(len(squares))), []
    for _ in range(len(squares) - 2 * liars):
        among = squares[np.ix_(left, left)]
        found.append(left.pop(int(ranked(among, liars)[0])))
    return sorted(found)
