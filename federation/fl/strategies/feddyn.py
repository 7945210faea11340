"""FedDyn: Acar et al. 2021, "Federated Learning Based on Dynamic Regularization" (arXiv:2111.04263)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from federation.fl.client_state import LinearTerm
from federation.fl.misfits import Misfit
from federation.fl.options import Option
from federation.fl.strategies import kept_by_clients
from federation.fl.strategies.kept_by_clients import POPULATION, MeanPlan
from federation.fl.strategies.strategy import Block, Launch, Plan, Strategy, Updates, weighted_sum
from federation.fl.weights import Array


@dataclass(frozen=True, slots=True)
class FedDyn(Strategy):
    """Each client's loss gets a linear and a quadratic term, so that its optimum becomes everybody's.

        theta_k = argmin  L_k(theta) - <g_k, theta> + alpha / 2 ||theta - base||^2,     g_k = g_k - alpha * delta_k
        h = h - alpha / m * sum_k delta_k,     theta = base + mean_k delta_k - h / alpha

    The argmin is approached by the session's epochs. m is how many clients have taken part so far, so that h is the
    mean of their g_k. Every client counts the same. Assumes honest clients that keep their state, with plain SGD.
    """

    alpha: float = 0.1

    name: ClassVar[str] = "feddyn"
    title: ClassVar[str] = "FedDyn"
    summary: ClassVar[str] = "Each client's loss is bent until its optimum is everybody's."
    when: ClassVar[str] = (
        "Choose it where few honest sites with different data come back often, and downloads are dear."
    )
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "alpha", float, 0.1, 0, 1e6, exclusive_minimum=True,
            help="How strongly a client is bent. The paper tries 0.001 to 0.1; larger is steadier.",
        ),
    )  # fmt: skip
    changes_training: ClassVar[bool] = True
    keeps_at_clients: ClassVar[bool] = True

    @property
    def slots(self) -> tuple[str, ...]:
        return ("h",)

    @property
    def scalars(self) -> tuple[str, ...]:
        return (POPULATION,)

    def misfit(self, launch: Launch) -> Misfit | None:
        return kept_by_clients.misfit(launch, self.title)

    def client_config(self) -> dict[str, float]:
        return {LinearTerm.name: self.alpha}

    def local_options(self) -> Mapping[str, Any]:
        return {"proximal_mu": self.alpha}

    def prepare(self, updates: Updates) -> Plan:
        return kept_by_clients.plan(updates, np.full(len(updates.num_examples), 1 / self.alpha))

    def step(self, plan: Plan, block: Block) -> tuple[Array, dict[str, Array]]:
        assert isinstance(plan, MeanPlan)
        h = (plan.before * block.slots["h"] - block.weighted_sum(1 / plan.rates)) / plan.after
        return block.base + block.weighted_sum(plan.share) - h / self.alpha, {"h": h}

    def combine(self, plan: Plan, values: Array) -> Array:
        return weighted_sum(values, plan.share)
