"""FedNova: Wang et al. 2020, "Tackling the Objective Inconsistency Problem" (arXiv:2007.07481)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from federation.fl.misfits import Misfit
from federation.fl.options import Option
from federation.fl.strategies.strategy import (
    Block,
    Launch,
    Plan,
    Strategy,
    Unsuitable,
    Updates,
    weighted_sum,
)
from federation.fl.weights import Array


@dataclass(frozen=True, slots=True)
class FedNova(Strategy):
    """Its rule for plain SGD at the clients: updates are divided by their number of steps before they are averaged.

    With tau_k steps at client k, p_k = n_k / n and tau = sum_k p_k * tau_k:

        w = w + eta * tau * sum_k p_k * delta_k / tau_k

    So a client that makes more steps does not pull the model towards its own optimum. Where all make the same number
    of steps it is FedAvg. Assumes plain SGD at the clients: with momentum or a proximal term the divisor would be
    another one. Each client tells its number of steps, `local_steps`, and is trusted with it. Costs one pass.
    """

    server_lr: float = 1.0

    name: ClassVar[str] = "fednova"
    title: ClassVar[str] = "FedNova"
    summary: ClassVar[str] = "Mean of the updates, each divided by how many steps its client made."
    when: ClassVar[str] = "Choose it where clients make very different numbers of steps, by size of data or by limits."
    options: ClassVar[tuple[Option, ...]] = (
        Option("server_lr", float, 1.0, 0, 10, exclusive_minimum=True, help="How far to follow the mean."),
    )
    needs: ClassVar[tuple[str, ...]] = ("local_steps",)

    def misfit(self, launch: Launch) -> Misfit | None:
        if not launch.follows_settings:
            return Misfit("strategy.name", "FedNova needs a workload that tells how many steps it made.")
        if launch.optimizer != "sgd" or launch.optimizer_options.get("momentum"):
            return Misfit("strategy.name", "FedNova divides by steps of plain SGD. Choose SGD without momentum.")
        if launch.proximal_mu:
            return Misfit("strategy.name", "FedNova divides by steps of plain SGD. Leave out the proximal term.")
        return None

    def prepare(self, updates: Updates) -> Plan:
        steps = updates.told("local_steps")
        if lacking := np.count_nonzero(~(steps >= 1)):
            raise Unsuitable(f"FedNova needs local_steps of every client: {lacking} did not tell them.")
        share = updates.share_by_examples()
        return Plan(share, share * ((share * steps).sum() / steps))

    def step(self, plan: Plan, block: Block) -> tuple[Array, dict[str, Array]]:
        return block.base + self.server_lr * block.weighted_sum(plan.weights), {}

    def combine(self, plan: Plan, values: Array) -> Array:
        return weighted_sum(values, plan.share)
