"""What a schedule of learning rates is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from federation.fl.options import Option

WARMUP = Option(
    "warmup_rounds", int, 0, minimum=0, maximum=100_000,
    help="Rounds in which the rate grows from a small one to the whole.",
)  # fmt: skip


class Rate(ABC):
    """Its options are its fields. warmup_rounds: in the n-th of them the rate is n / (warmup_rounds + 1)."""

    __slots__ = ()
    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    options: ClassVar[tuple[Option, ...]]
    warmup_rounds: int

    def factor(self, round_number: int) -> float:
        """By how much the session's learning rate is multiplied in a round, counted from 1: above 0, at most 1."""
        if round_number < 1:
            raise ValueError(f"rounds count from 1, not {round_number}")
        done = round_number - 1 - self.warmup_rounds
        return (round_number / (self.warmup_rounds + 1)) if done < 0 else self.after_warmup(done)

    @abstractmethod
    def after_warmup(self, done: int) -> float:
        """The factor after so many rounds (0 or more) at the whole rate's schedule."""
