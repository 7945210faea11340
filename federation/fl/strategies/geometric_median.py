"""The geometric median: Pillutla et al. 2022, "Robust Aggregation for Federated Learning" (arXiv:1912.13445)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from federation.fl.options import Option
from federation.fl.strategies.gram import distances_to
from federation.fl.strategies.robust import BEFORE, LIARS, ByDistances
from federation.fl.weights import Array


@dataclass(frozen=True, slots=True)
class GeometricMedian(ByDistances):
    """RFA, algorithm 2, the smoothed Weiszfeld algorithm: from z = 0, so many times

        beta_k = (1 / n) / max(nu, |z - delta_k|),  z = sum_k beta_k delta_k / sum_k beta_k

    and then w + z. Every client counts the same, where the paper weighs by examples, which a liar claims at will. Holds
    against any minority. Buffers: the median. Cost: two readings of the files, n (n + 1) / 2 products a coordinate.
    """

    iterations: int = 8
    smoothing: float = 1e-6

    name: ClassVar[str] = "geometric_median"
    title: ClassVar[str] = "Geometric median"
    summary: ClassVar[str] = "The point with the smallest sum of distances to all updates (RFA)."
    when: ClassVar[str] = "Choose it if you cannot say how many clients may lie; it holds against any minority."
    options: ClassVar[tuple[Option, ...]] = (
        LIARS,
        Option("iterations", int, 8, 1, 1_000, help="Steps of Weiszfeld's algorithm. The paper does with 3 or 4."),
        Option(
            "smoothing", float, 1e-6, 0, 1, exclusive_minimum=True, help="Nearer updates count as if this far away, nu."
        ),
        *BEFORE,
    )

    def weights(self, products: Array) -> Array:
        found = np.zeros(len(products))
        for _ in range(self.iterations):
            inverse = 1 / np.maximum(self.smoothing, np.sqrt(distances_to(products, found)))
            found = inverse / inverse.sum() if inverse.any() else inverse
        return found
