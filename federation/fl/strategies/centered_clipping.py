"""Centered clipping: Karimireddy et al. 2021, "Learning from History for Byzantine Robust Optimization"."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from federation.fl.options import Option
from federation.fl.strategies.gram import distances_to, gram, mixed
from federation.fl.strategies.norm_clipping import shortened
from federation.fl.strategies.ordering import median
from federation.fl.strategies.robust import BEFORE, LIARS, Robust
from federation.fl.strategies.strategy import Block, Plan, Updates
from federation.fl.weights import Array


@dataclass(frozen=True, slots=True)
class CenteredPlan(Plan):
    """center: how much the last step counts beside the updates."""

    center: float = 0.0


@dataclass(frozen=True, slots=True)
class CenteredClipping(Robust):
    """arXiv:2012.10333, algorithm 2: from the last round's step v, l times

        v = v + (1 / n) sum_k (delta_k - v) min(1, tau / |delta_k - v|)

    and then w + v, which is kept. tau is the median of the distances if it is not given. Every client counts the
    same. f liars pull by at most f tau / n each time. Buffers: the median. Cost: two readings of the files,
    (n + 1) (n + 2) / 2 products a coordinate, and one slot.
    """

    radius: float | None = None
    iterations: int = 1

    name: ClassVar[str] = "centered_clipping"
    title: ClassVar[str] = "Centered clipping"
    summary: ClassVar[str] = "Mean of the updates, each shortened to a distance from the last step."
    when: ClassVar[str] = "Choose it, behind bucketing, against lies that are small in each round and add up."
    slots: ClassVar[tuple[str, ...]] = ("center",)
    options: ClassVar[tuple[Option, ...]] = (
        LIARS,
        Option(
            "radius", float, None, 0, 1e9, exclusive_minimum=True, empty="the median of their distances",
            help="How far from the last step an update counts in full, tau.",
        ),
        Option("iterations", int, 1, 1, 1_000, help="How often the center moves in a round, l."),
        *BEFORE,
    )  # fmt: skip

    def prepare(self, updates: Updates) -> CenteredPlan:
        self.require(updates)
        count, products = len(updates.num_examples), gram(updates, "center")
        mixture = self.mixture(updates, lambda: products[:count, :count])
        rows = np.eye(count) if mixture is None else mixture
        with_center = np.zeros((len(rows) + 1, count + 1))
        with_center[:-1, :-1], with_center[-1, -1] = rows, 1.0
        weights = self.weights(mixed(products, with_center))
        return CenteredPlan(np.einsum("m,mn->n", weights[:-1], rows), center=float(weights[-1]))

    def weights(self, products: Array) -> Array:
        """Of the rows and, last, of the center, in the center of this round."""
        found = np.zeros(len(products))
        found[-1] = 1.0
        for _ in range(self.iterations):
            lengths = np.sqrt(distances_to(products, found)[:-1])
            pull = shortened(lengths, self.radius) / len(lengths)
            found *= 1 - pull.sum()
            found[:-1] += pull
        return found

    def step(self, plan: Plan, block: Block) -> tuple[Array, dict[str, Array]]:
        assert isinstance(plan, CenteredPlan)
        center = plan.center * block.slots["center"] + block.weighted_sum(plan.share)
        return block.base + center, {"center": center}

    def combine(self, plan: Plan, values: Array) -> Array:
        return median(values)
