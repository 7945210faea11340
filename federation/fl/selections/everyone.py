"""Everyone who is free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from federation.fl.misfits import Misfit
from federation.fl.selections.selection import Candidate, Chosen, Draw, Occasion, Selection, Why

LIMITED = "Everyone is asked only where nothing limits a round: leave cohort_size empty, or choose another selection."


@dataclass(frozen=True, slots=True)
class Everyone(Selection):
    """Refuses a limit, so that a session that is to ask everyone cannot ask fewer by mistake."""

    name: ClassVar[str] = "all"
    title: ClassVar[str] = "Everyone"
    summary: ClassVar[str] = "All who are online. A number of clients asked is refused."

    def misfit(self, occasion: Occasion) -> Misfit | None:
        return Misfit("selection.name", LIMITED) if occasion.is_limited else None

    def pick(self, candidates: Sequence[Candidate], count: int, draw: Draw) -> list[Chosen]:
        return [Chosen(one.name, Why.EVERYONE) for one in candidates]
