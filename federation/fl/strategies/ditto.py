"""Ditto: Li et al. 2021, "Ditto: Fair and Robust Federated Learning Through Personalization" (arXiv:2012.04221)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from federation.fl.misfits import Misfit
from federation.fl.options import Option
from federation.fl.strategies import shares
from federation.fl.strategies.shares import MOST_SHARE, Weighting
from federation.fl.strategies.strategy import Block, Launch, Plan, Strategy, Updates, weighted_sum
from federation.fl.weights import Array

LAMBDA = "ditto_lambda"  # in a work's config


@dataclass(frozen=True, slots=True)
class Ditto(Strategy):
    """Algorithm 1 with FedAvg: each client also trains a model of its own, which never leaves it.

        v_k = argmin  L_k(v) + lambda / 2 ||v - w||^2        (equation Ditto)

    The argmin is approached by the session's epochs, from what v_k was after the client's last counted update, with w
    the model that the client received. At first v_k is w. The server sees FedAvg alone: w + sum_k p_k * delta_k.
    Assumes honest clients that keep their state. Costs one pass at the server and, at the client, a second training.
    """

    personal_lambda: float = 0.5
    weighting: str = Weighting.EXAMPLES.value
    most_share: float = MOST_SHARE

    name: ClassVar[str] = "ditto"
    title: ClassVar[str] = "Ditto"
    summary: ClassVar[str] = "FedAvg, and each site trains a model of its own, held near the shared one."
    when: ClassVar[str] = "Choose it where each site wants a model for its own data, and can train twice as long."
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "personal_lambda", float, 0.5, 0, 1000, label="Lambda",
            help="How strongly a site's own model is held near the shared one; 0: not at all. Try 0.05 to 2.",
        ),
        *shares.OPTIONS,
    )  # fmt: skip
    personal: ClassVar[bool] = True
    sees_mean_alone: ClassVar[bool] = True

    def misfit(self, launch: Launch) -> Misfit | None:
        if not launch.follows_settings:
            return Misfit("strategy.name", "Ditto needs a workload whose training follows a session's settings.")
        if launch.stays:
            sentence = "With Ditto every tensor of a site's own model is its own. Let no tensor stay."
            return Misfit("stays", sentence)
        return shares.misfit(launch, self.weighting, self.most_share)

    def client_config(self) -> dict[str, float]:
        return {LAMBDA: self.personal_lambda}

    def prepare(self, updates: Updates) -> Plan:
        return Plan(shares.of(updates, self.weighting, self.most_share))

    def step(self, plan: Plan, block: Block) -> tuple[Array, dict[str, Array]]:
        return block.base + block.weighted_sum(plan.share), {}

    def combine(self, plan: Plan, values: Array) -> Array:
        return weighted_sum(values, plan.share)
