"""How far a session is, in rounds."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from federation.lifecycle import ACTIVE, WorkKind
from federation.models import Round, TrainingSession

STRIP = 48  # rounds that are shown as cells


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a session is, in rounds. made: the numbers of those that made something, where cells are shown."""

    session: TrainingSession
    completed: int  # rounds that made what the session is for
    last: Round | None  # the newest round, open or closed
    made: Collection[int]

    @property
    def number(self) -> int:
        """The round that is open, or the last one."""
        return self.last.number if self.last else 0

    @property
    def over(self) -> int:
        """Rounds that are done with: they made a model or were skipped."""
        return self.number if self.last is None or self.last.is_over else self.number - 1

    @property
    def skipped(self) -> int:
        return max(0, self.over - self.completed) if self.session.kind == WorkKind.TRAIN else 0

    @property
    def done(self) -> float:
        return min(1.0, self.over / self.session.rounds)

    @property
    def strip(self) -> list[str]:
        """A class for each round's cell; empty where there are too many for cells."""
        if self.session.rounds > STRIP:
            return []
        return [self._cell(number) for number in range(1, self.session.rounds + 1)]

    def _cell(self, number: int) -> str:
        if number in self.made:
            return "is-done"
        if number <= self.over:
            return "is-skipped"
        is_open = self.last is not None and self.last.status in ACTIVE
        return "is-now" if is_open and number == self.number else ""
