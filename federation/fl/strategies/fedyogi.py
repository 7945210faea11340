"""FedYogi: Reddi et al. 2021, "Adaptive Federated Optimization" (arXiv:2003.00295)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from federation.fl.options import Option
from federation.fl.strategies import adaptive
from federation.fl.strategies.strategy import Block, Plan, Strategy, Updates, weighted_sum
from federation.fl.weights import Array


@dataclass(frozen=True, slots=True)
class FedYogi(Strategy):
    """Algorithm 2, option FedYogi: as FedAdam, but v moves towards delta^2 by delta^2 itself.

    With delta = sum_k (n_k / n) * delta_k, coordinate by coordinate:

        m = beta_1 * m + (1 - beta_1) * delta
        v = v - (1 - beta_2) * delta^2 * sign(v - delta^2)
        w = w + eta * m / (sqrt(v) + tau)

    So v shrinks slowly where updates become small, and steps do not grow at once. m and v start at zero.

    Assumes nothing of the clients. Costs two float64 arrays of the model's size, read and written each round.
    """

    server_lr: float = adaptive.SERVER_LR
    beta_1: float = adaptive.BETA_1
    beta_2: float = adaptive.BETA_2
    tau: float = adaptive.TAU

    name: ClassVar[str] = "fedyogi"
    title: ClassVar[str] = "FedYogi"
    summary: ClassVar[str] = "Adam on the server, whose steps grow more slowly where updates become small."
    when: ClassVar[str] = "Choose it where FedAdam becomes unsteady because only a few clients take part in each round."
    sees_mean_alone: ClassVar[bool] = True
    options: ClassVar[tuple[Option, ...]] = (
        adaptive.SERVER_LR_OPTION,
        adaptive.BETA_1_OPTION,
        adaptive.BETA_2_OPTION,
        adaptive.TAU_OPTION,
    )

    @property
    def slots(self) -> tuple[str, ...]:
        return adaptive.SLOTS

    def prepare(self, updates: Updates) -> Plan:
        return Plan(updates.share_by_examples())

    def step(self, plan: Plan, block: Block) -> tuple[Array, dict[str, Array]]:
        delta, m = adaptive.mean_and_momentum(plan, block, self.beta_1)
        square = delta**2
        v = block.slots["v"] - (1 - self.beta_2) * square * np.sign(block.slots["v"] - square)
        return adaptive.moved(block.base, m, v, self.server_lr, self.tau), {"m": m, "v": v}

    def combine(self, plan: Plan, values: Array) -> Array:
        return weighted_sum(values, plan.share)
