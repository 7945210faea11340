"""FedAdagrad: Reddi et al. 2021, "Adaptive Federated Optimization" (arXiv:2003.00295)."""

from dataclasses import dataclass, replace
from typing import ClassVar

from federation.fl.options import Option
from federation.fl.strategies import adaptive
from federation.fl.strategies.strategy import Block, Plan, Strategy, Updates, weighted_sum
from federation.fl.weights import Array


@dataclass(frozen=True, slots=True)
class FedAdagrad(Strategy):
    """Algorithm 2, option FedAdagrad: steps become shorter where updates were large.

    With delta = sum_k (n_k / n) * delta_k, coordinate by coordinate:

        m = beta_1 * m + (1 - beta_1) * delta
        v = v + delta^2
        w = w + eta * m / (sqrt(v) + tau)

    beta_1 is 0 by default, as in the paper's experiments. m and v start at zero.

    Assumes nothing of the clients. Costs two float64 arrays of the model's size, read and written each round.
    """

    server_lr: float = 0.1
    beta_1: float = 0.0
    tau: float = adaptive.TAU

    name: ClassVar[str] = "fedadagrad"
    title: ClassVar[str] = "FedAdagrad"
    summary: ClassVar[str] = "Adagrad on the server: steps become shorter for weights that have moved much."
    when: ClassVar[str] = "Choose it where some weights are rarely trained, such as those of rare words."
    sees_mean_alone: ClassVar[bool] = True
    options: ClassVar[tuple[Option, ...]] = (
        replace(adaptive.SERVER_LR_OPTION, default=0.1),
        replace(adaptive.BETA_1_OPTION, default=0.0),
        adaptive.TAU_OPTION,
    )

    @property
    def slots(self) -> tuple[str, ...]:
        return adaptive.SLOTS

    def prepare(self, updates: Updates) -> Plan:
        return Plan(updates.share_by_examples())

    def step(self, plan: Plan, block: Block) -> tuple[Array, dict[str, Array]]:
        delta, m = adaptive.mean_and_momentum(plan, block, self.beta_1)
        v = block.slots["v"] + delta**2
        return adaptive.moved(block.base, m, v, self.server_lr, self.tau), {"m": m, "v": v}

    def combine(self, plan: Plan, values: Array) -> Array:
        return weighted_sum(values, plan.share)
