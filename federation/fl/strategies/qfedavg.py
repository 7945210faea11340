"""q-FedAvg: Li et al. 2020, "Fair Resource Allocation in Federated Learning" (arXiv:1905.10497)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from federation.fl.misfits import Misfit
from federation.fl.options import Option
from federation.fl.strategies import shares
from federation.fl.strategies.shares import MOST_SHARE, Weighting
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

LEAST_LOSS = 1e-10  # as in the paper's own code: a loss of 0 would have no power below 0


@dataclass(frozen=True, slots=True)
class QFedAvg(Strategy):
    """Algorithm 2: clients whose loss is high count more.

    With F_k the received model's loss on client k's training examples and L = 1 / local_lr:

        h_k = q * F_k^(q - 1) * ||L * delta_k||^2 + L * F_k^q
        w = w + sum_k F_k^q * L * delta_k / sum_k h_k

    q = 0 is the plain mean. Numbers of examples do not count; a stale update counts less. Assumes honest clients: each
    tells its loss, `base_train_loss`, and is trusted with it. Costs a second pass over the updates; each client
    measures the received model on its training examples once a round.
    """

    q: float = 0.2
    local_lr: float = 0.1

    name: ClassVar[str] = "qfedavg"
    title: ClassVar[str] = "q-FedAvg"
    summary: ClassVar[str] = "Mean of the updates in which clients with a high loss count more."
    when: ClassVar[str] = "Choose it where no site may be left behind, even if the mean over all becomes a bit worse."
    options: ClassVar[tuple[Option, ...]] = (
        Option("q", float, 0.2, 0, 20, label="Fairness q", help="0 is the plain mean; more favours high losses more."),
        Option(
            "local_lr", float, 0.1, 0, 1000, exclusive_minimum=True, label="The clients' learning rate",
            help="The session's learning rate: its inverse is the paper's L. Smaller takes shorter steps.",
        ),
    )  # fmt: skip
    needs: ClassVar[tuple[str, ...]] = ("base_train_loss",)

    def misfit(self, launch: Launch) -> Misfit | None:
        if launch.follows_settings:
            return None
        return Misfit("strategy.name", "q-FedAvg needs a workload that tells the loss of the model that it received.")

    def prepare(self, updates: Updates) -> Plan:
        losses = updates.told("base_train_loss") + LEAST_LOSS
        if lacking := np.count_nonzero(~(losses > 0)):
            sentence = f"q-FedAvg needs base_train_loss of every client: {lacking} did not tell it."
            raise Unsuitable(sentence)
        share = shares.of(updates, Weighting.EQUAL, MOST_SHARE)
        inverse = 1 / self.local_lr
        highest = losses.max()
        losses = losses / highest  # everything is divided by highest^q, so that no power overflows
        squares = updates.reduce(_squares) * (inverse**2 / highest)
        h = self.q * losses ** (self.q - 1) * squares + inverse * losses**self.q
        return Plan(share, share * losses**self.q * inverse / (share * h).sum())

    def step(self, plan: Plan, block: Block) -> tuple[Array, dict[str, Array]]:
        return block.base + block.weighted_sum(plan.weights), {}

    def combine(self, plan: Plan, values: Array) -> Array:
        return weighted_sum(values, plan.share)


def _squares(block: Block) -> Array:
    """||delta_k||^2 within this block, (n,) float64, by numpy's own loop (see `weighted_sum`)."""
    return np.asarray(np.einsum("kd,kd->k", block.deltas, block.deltas, dtype=np.float64, casting="same_kind"))
