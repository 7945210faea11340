"""Federated averaging: McMahan et al. 2017 (arXiv:1602.05629)."""

from dataclasses import dataclass
from typing import ClassVar

from federation.fl.options import Option
from federation.fl.strategies.strategy import Block, Plan, Updates, weighted_sum
from federation.fl.weights import Array


@dataclass(frozen=True, slots=True)
class FedAvg:
    """Algorithm 1, with a server learning rate eta (1.0 is the paper's): w + eta * sum_k (n_k / n) * delta_k."""

    server_lr: float = 1.0

    name: ClassVar[str] = "fedavg"
    title: ClassVar[str] = "FedAvg"
    summary: ClassVar[str] = "Mean of the updates, weighted by examples."
    slots: ClassVar[tuple[str, ...]] = ()
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
    )

    def client_config(self) -> dict[str, float]:
        return {}

    def prepare(self, updates: Updates) -> Plan:
        return Plan(updates.share_by_examples())

    def step(self, plan: Plan, block: Block) -> tuple[Array, dict[str, Array]]:
        return block.base + self.server_lr * block.weighted_sum(plan.share), {}

    def combine(self, plan: Plan, values: Array) -> Array:
        return weighted_sum(values, plan.share)
