"""The same learning rate in each round."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from federation.fl.options import Option
from federation.fl.rates.rate import WARMUP, Rate


@dataclass(frozen=True, slots=True)
class Constant(Rate):
    name: ClassVar[str] = "constant"
    title: ClassVar[str] = "Constant"
    summary: ClassVar[str] = "The same rate in each round."
    options: ClassVar[tuple[Option, ...]] = (WARMUP,)

    warmup_rounds: int = 0

    def after_warmup(self, done: int) -> float:
        return 1.0
