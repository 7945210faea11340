"""A learning rate that falls in steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from federation.fl.options import Option
from federation.fl.rates.rate import WARMUP, Rate

SMALLEST = 1e-6  # of the first rate, so that it never is zero


@dataclass(frozen=True, slots=True)
class Step(Rate):
    """multiplier ** (rounds done // every)."""

    name: ClassVar[str] = "step"
    title: ClassVar[str] = "Steps"
    summary: ClassVar[str] = "The rate is multiplied by a factor every few rounds."
    options: ClassVar[tuple[Option, ...]] = (
        Option("every", int, 10, minimum=1, maximum=100_000, label="Rounds a step", help="From one step to the next."),
        Option(
            "multiplier",
            float,
            0.5,
            minimum=0.0,
            exclusive_minimum=True,
            maximum=1.0,
            help="0.5: half at each step.",
            label="Factor of a step",
        ),
        WARMUP,
    )

    every: int = 10
    multiplier: float = 0.5
    warmup_rounds: int = 0

    def after_warmup(self, done: int) -> float:
        return max(self.multiplier ** (done // self.every), SMALLEST)
