"""FedAdam: Reddi et al. 2021, "Adaptive Federated Optimization" (arXiv:2003.00295)."""

import math
from dataclasses import dataclass
from typing import ClassVar

from federation.fl.options import Option
from federation.fl.strategies import adaptive
from federation.fl.strategies.strategy import Block, Plan, Strategy, Updates, weighted_sum
from federation.fl.weights import Array


@dataclass(frozen=True, slots=True)
class FedAdam(Strategy):
    """Algorithm 2, option FedAdam: Adam on the server, with the mean update as its gradient.

    With delta = sum_k (n_k / n) * delta_k, coordinate by coordinate:

        m = beta_1 * m + (1 - beta_1) * delta
        v = beta_2 * v + (1 - beta_2) * delta^2
        w = w + eta * m / (sqrt(v) + tau)

    There is no bias correction, as in the paper. m and v start at zero; the paper has v start
    at tau^2 or more, which only dampens the first rounds. Defaults are the paper's, section 5.

    With bias_correction, eta of the t-th step is multiplied by sqrt(1 - beta_2^t) / (1 - beta_1^t), as in Kingma and
    Ba 2015 (arXiv:1412.6980), before section 2.1. t is kept with the model.

    Assumes nothing of the clients. Costs two float64 arrays of the model's size, read and written each round.
    """

    server_lr: float = adaptive.SERVER_LR
    beta_1: float = adaptive.BETA_1
    beta_2: float = adaptive.BETA_2
    tau: float = adaptive.TAU
    bias_correction: bool = False

    name: ClassVar[str] = "fedadam"
    title: ClassVar[str] = "FedAdam"
    summary: ClassVar[str] = "Adam on the server: a step of its own length for every weight, with momentum."
    when: ClassVar[str] = "Choose it for large models whose layers need steps of different length, such as embeddings."
    sees_mean_alone: ClassVar[bool] = True
    options: ClassVar[tuple[Option, ...]] = (
        adaptive.SERVER_LR_OPTION,
        adaptive.BETA_1_OPTION,
        adaptive.BETA_2_OPTION,
        adaptive.TAU_OPTION,
        Option(
            "bias_correction", bool, False,
            help="Makes up for m and v starting at zero, as Adam does. The paper has none.",
        ),
    )  # fmt: skip

    @property
    def slots(self) -> tuple[str, ...]:
        return adaptive.SLOTS

    @property
    def scalars(self) -> tuple[str, ...]:
        return ("step",) if self.bias_correction else ()

    def prepare(self, updates: Updates) -> Plan:
        kept = {"step": updates.scalars["step"] + 1} if self.bias_correction else {}
        return Plan(updates.share_by_examples(), scalars=kept)

    def step(self, plan: Plan, block: Block) -> tuple[Array, dict[str, Array]]:
        delta, m = adaptive.mean_and_momentum(plan, block, self.beta_1)
        v = self.beta_2 * block.slots["v"] + (1 - self.beta_2) * delta**2
        return adaptive.moved(block.base, m, v, self._length(plan), self.tau), {"m": m, "v": v}

    def _length(self, plan: Plan) -> float:
        if not self.bias_correction:
            return self.server_lr
        t = plan.scalars["step"]
        return self.server_lr * math.sqrt(1 - math.pow(self.beta_2, t)) / (1 - math.pow(self.beta_1, t))

    def combine(self, plan: Plan, values: Array) -> Array:
        return weighted_sum(values, plan.share)
