"""FedAdam: Reddi et al. 2021, "Adaptive Federated Optimization" (arXiv:2003.00295)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from federation.fl.options import Option
from federation.fl.strategies.strategy import Block, Plan, Updates, weighted_sum
from federation.fl.weights import Array


@dataclass(frozen=True, slots=True)
class FedAdam:
    """Algorithm 2, option FedAdam: Adam on the server, with the mean update as its gradient.

    With delta = sum_k (n_k / n) * delta_k, coordinate by coordinate:

        m = beta_1 * m + (1 - beta_1) * delta
        v = beta_2 * v + (1 - beta_2) * delta^2
        w = w + eta * m / (sqrt(v) + tau)

    There is no bias correction, as in the paper. m and v start at zero; the paper has v start
    at tau^2 or more, which only dampens the first rounds. Defaults are the paper's, section 5.
    """

    server_lr: float = 0.01
    beta_1: float = 0.9
    beta_2: float = 0.99
    tau: float = 1e-3

    name: ClassVar[str] = "fedadam"
    title: ClassVar[str] = "FedAdam"
    summary: ClassVar[str] = "Adam on the server: a step of its own length for every weight, with momentum."
    slots: ClassVar[tuple[str, ...]] = ("m", "v")
    options: ClassVar[tuple[Option, ...]] = (
        Option("server_lr", float, 0.01, 0, 10, exclusive_minimum=True, help="Length of the server's step, eta."),
        Option("beta_1", float, 0.9, 0, 0.9999, help="Memory of the mean update."),
        Option("beta_2", float, 0.99, 0, 0.9999, help="Memory of its square."),
        Option("tau", float, 1e-3, 0, 1, exclusive_minimum=True, help="Adaptivity: small adapts more."),
    )

    def client_config(self) -> dict[str, float]:
        return {}

    def prepare(self, updates: Updates) -> Plan:
        return Plan(updates.share_by_examples())

    def step(self, plan: Plan, block: Block) -> tuple[Array, dict[str, Array]]:
        delta = block.weighted_sum(plan.share)
        m = self.beta_1 * block.slots["m"] + (1 - self.beta_1) * delta
        v = self.beta_2 * block.slots["v"] + (1 - self.beta_2) * delta**2
        return block.base + self.server_lr * m / (np.sqrt(v) + self.tau), {"m": m, "v": v}

    def combine(self, plan: Plan, values: Array) -> Array:
        return weighted_sum(values, plan.share)
