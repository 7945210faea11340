"""What the adaptive optimizers of the server share: Reddi et al. 2021, "Adaptive Federated Optimization"."""

import numpy as np

from federation.fl.options import Option
from federation.fl.strategies.strategy import Block, Plan
from federation.fl.weights import Array

SLOTS = ("m", "v")
SERVER_LR, BETA_1, BETA_2, TAU = 0.01, 0.9, 0.99, 1e-3  # those of the paper's experiments, section 5
SERVER_LR_OPTION = Option(
    "server_lr", float, SERVER_LR, 0, 10, exclusive_minimum=True, help="Length of the server's step, eta."
)
BETA_1_OPTION = Option("beta_1", float, BETA_1, 0, 0.9999, help="Memory of the mean update.")
BETA_2_OPTION = Option("beta_2", float, BETA_2, 0, 0.9999, help="Memory of its square.")
TAU_OPTION = Option("tau", float, TAU, 0, 1, exclusive_minimum=True, help="Adaptivity: small adapts more.")


def mean_and_momentum(plan: Plan, block: Block, beta_1: float) -> tuple[Array, Array]:
    """The mean update, delta, and m = beta_1 * m + (1 - beta_1) * delta; (d,) float64 each."""
    delta = block.weighted_sum(plan.share)
    return delta, beta_1 * block.slots["m"] + (1 - beta_1) * delta


def moved(base: Array, m: Array, v: Array, server_lr: float, tau: float) -> Array:
    """w + eta * m / (sqrt(v) + tau)."""
    return np.asarray(base + server_lr * m / (np.sqrt(v) + tau))
