"""SCAFFOLD: Karimireddy et al. 2020, "Stochastic Controlled Averaging" (arXiv:1910.06378)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from federation.fl.client_state import ControlVariates
from federation.fl.misfits import Misfit
from federation.fl.options import Option
from federation.fl.strategies import kept_by_clients
from federation.fl.strategies.kept_by_clients import POPULATION, MeanPlan
from federation.fl.strategies.strategy import Block, Launch, Plan, Strategy, Unsuitable, Updates, weighted_sum
from federation.fl.weights import Array


@dataclass(frozen=True, slots=True)
class Scaffold(Strategy):
    """Algorithm 1 with option II: each client's steps are corrected by c - c_i, so that none drifts to its own optimum.

        y_i = y_i - eta_l * (g_i(y_i) - c_i + c)        K steps at the client, from x
        x = x + eta_g * mean_i (y_i - x)
        c = c + 1 / N * sum_i (c_i+ - c_i)

    With option II the client's change is c_i+ - c_i = -c + (x - y_i) / (K * eta_l), which the server computes from the
    update itself: nothing is sent beside it but `local_steps`. N is how many clients have taken part so far, and c the
    mean of their c_i. Every client counts the same. Assumes honest clients that keep their state, with plain SGD.
    """

    server_lr: float = 1.0

    name: ClassVar[str] = "scaffold"
    title: ClassVar[str] = "SCAFFOLD"
    summary: ClassVar[str] = "Each client's steps are corrected by how its gradients differ from everybody's."
    when: ClassVar[str] = "Choose it where few honest sites with very different data train long, and come back often."
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "server_lr", float, 1.0, 0, 10, exclusive_minimum=True, help="How far to follow the mean; the paper's 1."
        ),
    )
    needs: ClassVar[tuple[str, ...]] = ("local_steps",)
    changes_training: ClassVar[bool] = True
    keeps_at_clients: ClassVar[bool] = True
    sends: ClassVar[str] = "c"

    @property
    def slots(self) -> tuple[str, ...]:
        return (self.sends,)

    @property
    def scalars(self) -> tuple[str, ...]:
        return (POPULATION,)

    def misfit(self, launch: Launch) -> Misfit | None:
        return kept_by_clients.misfit(launch, self.title)

    def client_config(self) -> dict[str, float]:
        return {**dict.fromkeys(self.needs, 1.0), ControlVariates.name: 1.0}

    def prepare(self, updates: Updates) -> Plan:
        steps = updates.told("local_steps")
        if lacking := np.count_nonzero(~(steps >= 1)):
            raise Unsuitable(f"SCAFFOLD needs local_steps of every client: {lacking} did not tell them.")
        return kept_by_clients.plan(updates, steps * updates.learning_rate)

    def step(self, plan: Plan, block: Block) -> tuple[Array, dict[str, Array]]:
        assert isinstance(plan, MeanPlan)
        c = block.slots[self.sends]
        gradients = -block.weighted_sum(1 / plan.rates)
        kept = (plan.before - len(plan.rates)) * c + gradients
        return block.base + self.server_lr * block.weighted_sum(plan.share), {self.sends: kept / plan.after}

    def combine(self, plan: Plan, values: Array) -> Array:
        return weighted_sum(values, plan.share)
