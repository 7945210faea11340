"""Adam (Kingma and Ba 2015, arXiv:1412.6980)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from federation.fl.optimizers.optimizer import WEIGHT_DECAY, Optimizer, Steps
from federation.fl.options import Option

if TYPE_CHECKING:
    import torch

BETAS = (
    Option(
        "beta1", float, 0.9, minimum=0.0, maximum=0.9999, label="Client beta 1",
        help="How long the mean of gradients remembers.",
    ),
    Option(
        "beta2", float, 0.999, minimum=0.0, maximum=0.999999, label="Client beta 2",
        help="How long the mean of their squares remembers.",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Adam(Optimizer):
    """Algorithm 1 with bias correction. Weight decay is added to the gradient (L2)."""

    name: ClassVar[str] = "adam"
    title: ClassVar[str] = "Adam"
    summary: ClassVar[str] = "Each parameter has a step size of its own. Try a learning rate of 0.001."
    options: ClassVar[tuple[Option, ...]] = (*BETAS, WEIGHT_DECAY)

    beta1: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 0.0

    def over(self, parameters: Iterable[torch.nn.Parameter], learning_rate: float) -> Steps:
        import torch

        betas = (self.beta1, self.beta2)
        return torch.optim.Adam(parameters, lr=learning_rate, betas=betas, weight_decay=self.weight_decay)
