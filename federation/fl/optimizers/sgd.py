"""Stochastic gradient descent, with momentum (Sutskever et al. 2013) where that is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from federation.fl.optimizers.optimizer import WEIGHT_DECAY, Optimizer, Steps
from federation.fl.options import Option

if TYPE_CHECKING:
    import torch


class _Descent:
    """Plain SGD to the same bytes as torch's, whose own work takes longer than the arithmetic of a small network."""

    def __init__(self, parameters: Sequence[torch.nn.Parameter], rate: float) -> None:
        self._parameters, self._rate = parameters, rate

    def zero_grad(self) -> None:
        for parameter in self._parameters:
            parameter.grad = None

    def step(self) -> None:
        import torch

        with torch.no_grad():
            for parameter in self._parameters:
                if parameter.grad is not None:
                    parameter.add_(parameter.grad, alpha=-self._rate)


@dataclass(frozen=True, slots=True)
class SGD(Optimizer):
    """v = momentum v + g; w = w - learning_rate v. Without momentum it is what every earlier session trains with."""

    name: ClassVar[str] = "sgd"
    title: ClassVar[str] = "SGD"
    summary: ClassVar[str] = "One step along each batch's gradient. A good first choice for most federations."
    options: ClassVar[tuple[Option, ...]] = (
        Option("momentum", float, 0.0, minimum=0.0, maximum=0.999, help="How much of the last step is kept."),
        Option("nesterov", bool, False, help="Looks ahead by the momentum. Needs a momentum."),
        WEIGHT_DECAY,
    )

    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def over(self, parameters: Iterable[torch.nn.Parameter], learning_rate: float) -> Steps:
        import torch

        given = list(parameters)
        if self == SGD() and all(one.device.type == "cpu" for one in given):
            return _Descent(given, learning_rate)
        return torch.optim.SGD(
            given,
            lr=learning_rate,
            momentum=self.momentum,
            nesterov=self.nesterov and self.momentum > 0,
            weight_decay=self.weight_decay,
        )
