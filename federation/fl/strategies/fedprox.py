"""FedProx: Li et al. 2020, "Federated Optimization in Heterogeneous Networks" (arXiv:1812.06127)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from federation.fl.misfits import Misfit
from federation.fl.options import Option
from federation.fl.strategies import shares
from federation.fl.strategies.shares import MOST_SHARE, Weighting
from federation.fl.strategies.strategy import Block, Launch, Plan, Strategy, Updates, weighted_sum
from federation.fl.weights import Array


@dataclass(frozen=True, slots=True)
class FedProx(Strategy):
    """Algorithm 2: FedAvg whose clients minimize their loss plus mu / 2 ||w - base||^2 (equation 2).

    Torch workloads add the term's gradient at each step (`proximal_mu` of `fl.local_options`). A script or a Flower
    app finds `proximal_mu` in its config. Assumes honest clients. Costs one pass at the server and, at the client,
    one copy of the model.
    """

    mu: float = 0.1
    weighting: str = Weighting.EXAMPLES.value
    most_share: float = MOST_SHARE

    name: ClassVar[str] = "fedprox"
    title: ClassVar[str] = "FedProx"
    summary: ClassVar[str] = "FedAvg whose clients are held near the model that they received."
    when: ClassVar[str] = "Choose it where clients train long on data that differ, and would drift apart."
    sees_mean_alone: ClassVar[bool] = True
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "mu", float, 0.1, 0, 1e6, exclusive_minimum=True, label="Proximal term mu",
            help="How strongly clients are held. The paper tries 0.001 to 1.",
        ),
        *shares.OPTIONS,
    )  # fmt: skip
    changes_training: ClassVar[bool] = True

    def misfit(self, launch: Launch) -> Misfit | None:
        if launch.proximal_mu:
            sentence = "FedProx sets the proximal term itself. Leave it out among the settings of training."
            return Misfit("local_options.proximal_mu", sentence)
        return shares.misfit(launch, self.weighting, self.most_share)

    def client_config(self) -> dict[str, float]:
        return {"proximal_mu": self.mu}

    def local_options(self) -> Mapping[str, Any]:
        return {"proximal_mu": self.mu}

    def prepare(self, updates: Updates) -> Plan:
        return Plan(shares.of(updates, self.weighting, self.most_share))

    def step(self, plan: Plan, block: Block) -> tuple[Array, dict[str, Array]]:
        return block.base + block.weighted_sum(plan.share), {}

    def combine(self, plan: Plan, values: Array) -> Array:
        return weighted_sum(values, plan.share)
