"""Poisson sampling: each client is drawn by a chance of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from federation.fl import sampling
from federation.fl.misfits import Misfit
from federation.fl.options import Option
from federation.fl.selections.selection import Candidate, Chosen, Draw, Occasion, Selection, Why


@dataclass(frozen=True, slots=True)
class Poisson(Selection):
    """Each client independently with probability `rate`, as accountants of differential privacy assume it.

    It is the sampling of McMahan et al. 2018 (arXiv:1710.06963). The number that is drawn varies. Where
    fewer are drawn than the quorum needs, those that were nearest to being drawn are asked as well: such a round is
    no Poisson sample, so amplification may be claimed only where the quorum is far below rate times clients.
    """

    rate: float = 0.5

    name: ClassVar[str] = "poisson"
    title: ClassVar[str] = "Poisson"
    summary: ClassVar[str] = "Each client by a chance of its own, so that the number varies."
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "rate", float, 0.5, 0, 1, exclusive_minimum=True, label="Chance of each client",
            help="0.1 asks a tenth of the clients on average, and never fewer than the quorum.",
        ),
    )  # fmt: skip

    def misfit(self, occasion: Occasion) -> Misfit | None:
        if occasion.is_joined:
            return Misfit("selection.name", "Poisson draws whole rounds, and here clients join one by one.")
        if occasion.is_limited:
            sentence = "Poisson draws each client by its own chance: leave cohort_size empty, without over-selection."
            return Misfit("selection.name", sentence)
        return None

    def choose(self, candidates: Sequence[Candidate], draw: Draw) -> list[Chosen]:
        """A client's chance depends on no other client, so those that gave up are no exception."""
        return self.pick(candidates, draw.count, draw)

    def pick(self, candidates: Sequence[Candidate], count: int, draw: Draw) -> list[Chosen]:
        tossed = sorted((sampling.uniform("poisson", draw.seed, draw.number, one.name), one.name) for one in candidates)
        drawn = sum(toss < self.rate for toss, _ in tossed)
        whys = [Why.DRAWN] * drawn + [Why.FILLED] * (draw.least - drawn)
        return [Chosen(name, why) for (_, name), why in zip(tossed, whys, strict=False)]
