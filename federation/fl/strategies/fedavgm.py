"""FedAvgM: Hsu et al. 2019, "Measuring the Effects of Non-Identical Data Distribution" (arXiv:1909.06335)."""

from dataclasses import dataclass
from typing import ClassVar

from federation.fl.misfits import Misfit
from federation.fl.options import Option
from federation.fl.strategies import shares
from federation.fl.strategies.shares import MOST_SHARE, Weighting
from federation.fl.strategies.strategy import Block, Launch, Plan, Strategy, Updates, weighted_sum
from federation.fl.weights import Array


@dataclass(frozen=True, slots=True)
class FedAvgM(Strategy):
    """Section 4.3: the mean update goes through a momentum before it moves the model.

    With delta = sum_k p_k * delta_k, p_k as in FedAvg, coordinate by coordinate:

        m = beta * m + delta
        w = w + eta * m

    m starts at zero. In the long run a step is 1 / (1 - beta) times as long as without momentum: lower eta as beta
    grows. Assumes nothing of the clients. Costs one float64 array of the model's size, read and written each round.
    """

    server_lr: float = 1.0
    momentum: float = 0.9
    weighting: str = Weighting.EXAMPLES.value
    most_share: float = MOST_SHARE

    name: ClassVar[str] = "fedavgm"
    title: ClassVar[str] = "FedAvgM"
    summary: ClassVar[str] = "Mean of the updates, with momentum over the rounds."
    when: ClassVar[str] = "Choose it where the model swings from round to round because clients' data differ."
    sees_mean_alone: ClassVar[bool] = True
    options: ClassVar[tuple[Option, ...]] = (
        Option("server_lr", float, 1.0, 0, 10, exclusive_minimum=True, help="Length of the server's step, eta."),
        Option("momentum", float, 0.9, 0, 0.9999, help="How much of the last step is in the next one, beta."),
        *shares.OPTIONS,
    )

    @property
    def slots(self) -> tuple[str, ...]:
        return ("m",)

    def misfit(self, launch: Launch) -> Misfit | None:
        return shares.misfit(launch, self.weighting, self.most_share)

    def prepare(self, updates: Updates) -> Plan:
        return Plan(shares.of(updates, self.weighting, self.most_share))

    def step(self, plan: Plan, block: Block) -> tuple[Array, dict[str, Array]]:
        m = self.momentum * block.slots["m"] + block.weighted_sum(plan.share)
        return block.base + self.server_lr * m, {"m": m}

    def combine(self, plan: Plan, values: Array) -> Array:
        return weighted_sum(values, plan.share)
