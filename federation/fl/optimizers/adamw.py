"""AdamW: Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from federation.fl.optimizers.adam import BETAS
from federation.fl.optimizers.optimizer import WEIGHT_DECAY, Optimizer, Steps
from federation.fl.options import Option

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class AdamW(Optimizer):
    """Algorithm 2 of the paper: weights shrink by learning_rate times weight_decay, beside Adam's step."""

    name: ClassVar[str] = "adamw"
    title: ClassVar[str] = "AdamW"
    summary: ClassVar[str] = "Adam with weight decay beside its step: the usual choice for transformers."
    options: ClassVar[tuple[Option, ...]] = (*BETAS, replace(WEIGHT_DECAY, default=0.01))

    beta1: float = 0.9
    beta2: float = 0.999
    weight_decay: float = 0.01

    def over(self, parameters: Iterable[torch.nn.Parameter], learning_rate: float) -> Steps:
        import torch

        betas = (self.beta1, self.beta2)
        return torch.optim.AdamW(parameters, lr=learning_rate, betas=betas, weight_decay=self.weight_decay)
