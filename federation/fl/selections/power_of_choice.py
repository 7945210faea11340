"""Power-of-choice: Cho, Wang and Joshi 2020 (arXiv:2010.01243)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from federation.fl import sampling
from federation.fl.options import Option
from federation.fl.selections.selection import Candidate, Chosen, Draw, Selection, Why


@dataclass(frozen=True, slots=True)
class PowerOfChoice(Selection):
    """Its variant rpow-d: d candidates by their share of the examples, and of these the ones with the highest loss.

    The loss is the mean of the local steps in the client's last counted training, so that nothing more is computed
    or sent; a client without one counts as infinitely high. The draw of d without replacement, each with probability
    in proportion to its examples, takes the smallest -ln(u_k) / n_k (Efraimidis and Spirakis 2006); a client whose
    number is not known counts as the mean of the others. Trusts what clients report: one that reports a high loss is
    asked more often.
    """

    candidates: int = 10

    name: ClassVar[str] = "power_of_choice"
    title: ClassVar[str] = "Power of choice"
    summary: ClassVar[str] = (
        "Of so many candidates those whose last loss was highest, which learns faster but less fairly."
    )
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "candidates", int, 10, 1, 100_000,
            help="Drawn by their examples. Only if this is more than a round asks, the loss decides.",
        ),
    )  # fmt: skip
    reads: ClassVar[frozenset[str]] = frozenset({"loss", "num_examples"})

    def pick(self, candidates: Sequence[Candidate], count: int, draw: Draw) -> list[Chosen]:
        drawn = _by_examples(candidates, max(self.candidates, count), draw)
        losses = {one.name: math.inf if one.loss is None else one.loss for one in drawn}
        highest = sorted(losses, key=lambda name: (-losses[name], name))
        return [_chosen(name, losses[name]) for name in highest[: max(0, count)]]


def _by_examples(candidates: Sequence[Candidate], count: int, draw: Draw) -> list[Candidate]:
    known = [one.num_examples for one in candidates if one.num_examples]
    usual = sum(known) / len(known) if known else 1.0

    def key(one: Candidate) -> tuple[float, str]:
        uniform = sampling.uniform("candidate", draw.seed, draw.number, one.name)
        return -math.log1p(-uniform) / (one.num_examples or usual), one.name

    return sorted(candidates, key=key)[:count]


def _chosen(name: str, loss: float) -> Chosen:
    return Chosen(name, Why.LOSS, {"loss": loss}) if math.isfinite(loss) else Chosen(name, Why.NO_LOSS)
