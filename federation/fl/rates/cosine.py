"""A learning rate that falls along a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5, no restarts)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from federation.fl.options import Option
from federation.fl.rates.rate import WARMUP, Rate


@dataclass(frozen=True, slots=True)
class Cosine(Rate):
    """(1 + cos(pi t / T)) / 2 for t = 0 to T - 1, of T rounds after the warm-up. Later rounds keep the last rate."""

    name: ClassVar[str] = "cosine"
    title: ClassVar[str] = "Cosine"
    summary: ClassVar[str] = "The rate falls slowly, then quickly, then slowly towards zero."
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "over", int, 10, minimum=1, maximum=100_000, label="Rounds to the lowest",
            help="Rounds until it is at its lowest, the warm-up included. Usually all rounds of the session.",
        ),
        WARMUP,
    )  # fmt: skip

    over: int = 10
    warmup_rounds: int = 0

    def after_warmup(self, done: int) -> float:
        length = max(self.over - self.warmup_rounds, 1)
        return (1 + math.cos(math.pi * min(done, length - 1) / length)) / 2
