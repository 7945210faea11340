"""What an optimizer is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, Protocol

from federation.fl.options import Option

if TYPE_CHECKING:
    import torch

WEIGHT_DECAY = Option(
    "weight_decay", float, 0.0, minimum=0.0, maximum=10.0, help="Pulls each parameter to zero at each step."
)


class Steps(Protocol):
    """What torch's optimizers do."""

    def zero_grad(self) -> None: ...

    def step(self) -> object: ...


class Optimizer(ABC):
    """Its options are its fields. torch is imported only to build it."""

    __slots__ = ()
    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    options: ClassVar[tuple[Option, ...]]

    @abstractmethod
    def over(self, parameters: Iterable[torch.nn.Parameter], learning_rate: float) -> Steps:
        """torch's own, for these parameters, or what gives the same bytes."""
