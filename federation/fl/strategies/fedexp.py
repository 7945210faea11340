"""FedExP: Jhunjhunwala et al. 2023, "FedExP: Speeding Up Federated Averaging via Extrapolation" (arXiv:2301.09604)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from federation.fl.options import Option
from federation.fl.strategies import shares
from federation.fl.strategies.shares import MOST_SHARE, Weighting
from federation.fl.strategies.strategy import Block, Plan, Strategy, Updates, weighted_sum
from federation.fl.weights import Array


@dataclass(frozen=True, slots=True)
class FedExP(Strategy):
    """The paper's step of the server: the more the updates point apart, the further it follows their mean.

    With M updates and their mean delta = (1 / M) * sum_k delta_k:

        eta = max(1, sum_k ||delta_k||^2 / (2 M (||delta||^2 + epsilon)))
        w = w + eta * delta

    Every client counts the same; stale updates less (then 1 / M becomes their share). Identical updates give eta = 1,
    which is FedAvg. Assumes honest clients: one huge update makes the step long, so the protection against large
    updates should be on. Costs a second pass over the updates. The paper evaluates the mean of the last two models,
    which is left to whoever uses them.
    """

    epsilon: float = 1e-3
    most: float = 100.0

    name: ClassVar[str] = "fedexp"
    title: ClassVar[str] = "FedExP"
    summary: ClassVar[str] = "Mean of the updates, followed the further the more they point apart."
    when: ClassVar[str] = "Choose it where clients' data differ, all are honest, and you want no learning rate to tune."
    options: ClassVar[tuple[Option, ...]] = (
        Option("epsilon", float, 1e-3, 0, 1e6, help="Keeps the step short once the updates cancel each other."),
        Option("most", float, 100.0, 1, 1e6, label="Longest step", help="How many times the mean, at most."),
    )

    def prepare(self, updates: Updates) -> Plan:
        share = shares.of(updates, Weighting.EQUAL, MOST_SHARE)
        squares = updates.reduce(lambda block: _squares(block, share))
        of_mean = squares[1] + self.epsilon
        eta = squares[0] / (2 * of_mean) if of_mean > 0 else 1.0
        return Plan(share, share * min(max(1.0, eta), self.most))

    def step(self, plan: Plan, block: Block) -> tuple[Array, dict[str, Array]]:
        return block.base + block.weighted_sum(plan.weights), {}

    def combine(self, plan: Plan, values: Array) -> Array:
        return weighted_sum(values, plan.share)


def _squares(block: Block, share: Array) -> Array:
    """sum_k share_k ||delta_k||^2, and ||sum_k share_k delta_k||^2, of this block: (2,) float64.

    By numpy's own loops, for the same reason as in `weighted_sum`.
    """
    mean = block.weighted_sum(share)
    squares = np.einsum("kd,kd->k", block.deltas, block.deltas, dtype=np.float64, casting="same_kind")
    return np.array([np.einsum("k,k->", share, squares), np.einsum("d,d->", mean, mean)])
