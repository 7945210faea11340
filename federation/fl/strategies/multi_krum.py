"""Multi-Krum: Blanchard et al. 2017, "Machine Learning with Adversaries" (arXiv:1703.02757)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from federation.fl.options import Option
from federation.fl.strategies.gram import distances
from federation.fl.strategies.krum import ranked
from federation.fl.strategies.robust import BEFORE, LIARS, ByDistances
from federation.fl.weights import Array


@dataclass(frozen=True, slots=True)
class MultiKrum(ByDistances):
    """Section 5: w + the mean of the m updates with the smallest scores of Krum.

    Assumes n >= 2 f + 3 updates, of which at most f lie. m is n - f - 2 if it is not given, the most for which El
    Mhamdi et al. 2019 (arXiv:1905.03853) prove it; more than n - f would take in a lie for certain. Buffers: the
    median. Cost: two readings of the files, n (n + 1) / 2 products a coordinate.
    """

    selected: int | None = None

    name: ClassVar[str] = "multi_krum"
    title: ClassVar[str] = "Multi-Krum"
    summary: ClassVar[str] = "Mean of the updates that are closest to the others."
    when: ClassVar[str] = "Choose it against clients whose updates are far from the others', with data that are alike."
    options: ClassVar[tuple[Option, ...]] = (
        LIARS,
        Option("selected", int, None, 1, 10_000, empty="all but the liars and two", help="How many count, m."),
        *BEFORE,
    )

    @property
    def rule_needs(self) -> int:
        return max(2 * self.liars + 3, (self.selected or 0) + self.liars)

    def weights(self, products: Array) -> Array:
        count = self.selected or len(products) - self.liars - 2
        nearest = ranked(distances(products), self.liars)[:count]
        found = np.zeros(len(products))
        found[nearest] = 1 / count
        return found
