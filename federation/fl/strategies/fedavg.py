"""Federated averaging: McMahan et al. 2017 (arXiv:1602.05629)."""

from dataclasses import dataclass
from typing import ClassVar

from federation.fl.misfits import Misfit
from federation.fl.options import Option
from federation.fl.strategies import shares
from federation.fl.strategies.shares import MOST_SHARE, Weighting
from federation.fl.strategies.strategy import Block, Launch, Plan, Strategy, Updates, weighted_sum
from federation.fl.weights import Array


@dataclass(frozen=True, slots=True)
class FedAvg(Strategy):
    """Algorithm 1, with a server learning rate eta (1.0 is the paper's): w + eta * sum_k p_k * delta_k.

    p_k is n_k / n as in the paper, 1 / K, or n_k / n with a limit. Assumes nothing of the clients but honesty: one
    that lies moves the model as far as its share goes. Costs one pass over the updates.
    """

    server_lr: float = 1.0
    weighting: str = Weighting.EXAMPLES.value
    most_share: float = MOST_SHARE

    name: ClassVar[str] = "fedavg"
    title: ClassVar[str] = "FedAvg"
    summary: ClassVar[str] = "Mean of the updates, weighted by examples."
    when: ClassVar[str] = "Begin with it: it is the simplest, and hard to beat where clients' data are alike."
    sees_mean_alone: ClassVar[bool] = True
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "server_lr",
            float,
            1.0,
            0,
            10,
            exclusive_minimum=True,
            help="How far to follow the mean; 1 is plain FedAvg.",
        ),
        *shares.OPTIONS,
    )

    def misfit(self, launch: Launch) -> Misfit | None:
        return shares.misfit(launch, self.weighting, self.most_share)

    def prepare(self, updates: Updates) -> Plan:
        return Plan(shares.of(updates, self.weighting, self.most_share))

    def step(self, plan: Plan, block: Block) -> tuple[Array, dict[str, Array]]:
        return block.base + self.server_lr * block.weighted_sum(plan.share), {}

    def combine(self, plan: Plan, values: Array) -> Array:
        return weighted_sum(values, plan.share)
