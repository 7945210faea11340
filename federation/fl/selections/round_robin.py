"""Each client in its turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from federation.fl.selections.selection import Candidate, Chosen, Draw, Selection, Why


@dataclass(frozen=True, slots=True)
class RoundRobin(Selection):
    """Those who were asked longest ago; among them those who were asked less often, then by name. Nothing is drawn.

    While the same clients are free this goes round by name: n clients in cohorts of m have all been asked after
    ceil(n / m) rounds, and how often two of them were asked never differs by more than one.
    """

    name: ClassVar[str] = "round_robin"
    title: ClassVar[str] = "Round-robin"
    summary: ClassVar[str] = "Each client in its turn: those who were asked longest ago."
    reads: ClassVar[frozenset[str]] = frozenset({"last_asked", "times_asked"})

    def pick(self, candidates: Sequence[Candidate], count: int, draw: Draw) -> list[Chosen]:
        waiting = sorted(candidates, key=lambda one: (one.last_asked, one.times_asked, one.name))
        return [Chosen(one.name, Why.TURN, {"last": one.last_asked}) for one in waiting[: max(0, count)]]
