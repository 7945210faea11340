"""A cohort at random, without replacement: McMahan et al. 2017 (arXiv:1602.05629), algorithm 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from federation.fl import sampling
from federation.fl.misfits import Misfit
from federation.fl.selections.selection import Candidate, Chosen, Draw, Occasion, Selection, Why


@dataclass(frozen=True, slots=True)
class AtRandom(Selection):
    """Every set of that many clients is as likely as any other. It asks everyone where no number is given."""

    name: ClassVar[str] = "random"
    title: ClassVar[str] = "At random"
    summary: ClassVar[str] = "As many as a round asks, drawn anew for each. Everyone, if it asks everyone."

    def misfit(self, occasion: Occasion) -> Misfit | None:
        return None

    def pick(self, candidates: Sequence[Candidate], count: int, draw: Draw) -> list[Chosen]:
        names = [one.name for one in candidates]
        why = Why.DRAWN if count < len(names) else Why.EVERYONE
        drawn = sampling.draw(names, count, seed=draw.seed, round_number=draw.number)
        return [Chosen(name, why) for name in drawn]
