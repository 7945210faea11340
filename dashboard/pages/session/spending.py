"""What differential privacy has cost a session, after each of its rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.kit import formats
from federation.fl.privacy.clippings import Clipping
from federation.lifecycle import Outcome
from federation.models import TrainingSession
from federation.services import privacy
from federation.services.privacy import Before

WIDTH, HEIGHT = 320.0, 96.0  # of the picture, in its own units
MOST_POINTS = 300  # of the line


@dataclass(frozen=True, slots=True)
class Spent:
    """rounds: number and what was noted of each round with a model, in order."""

    clipping: Clipping
    before: Before
    rounds: Sequence[tuple[int, Mapping[str, Any]]]

    @property
    def last(self) -> Mapping[str, Any] | None:
        return self.rounds[-1][1] if self.rounds else None

    @property
    def last_number(self) -> int:
        return self.rounds[-1][0]

    @property
    def epsilon(self) -> float | None:
        """None: no model of its own shows anything yet."""
        return self.last["epsilon"] if self.last else None

    @property
    def budget(self) -> float | None:
        return self.clipping.budget

    @property
    def delta(self) -> str:
        return formats.setting(self.clipping.delta)

    @property
    def share(self) -> str:
        """Of the budget, in per cent; empty while no round of the session has told its epsilon."""
        return f"{100 * self.epsilon / self.budget:.0f} %" if self.budget and self.epsilon is not None else ""

    @property
    def within(self) -> str:
        """Of the updates, about how many were within an adaptive clip. Noise can take it beyond all or none."""
        found = self.last["within"] if self.last else None
        return "" if found is None else f"{100 * min(1.0, max(0.0, found)):.0f} %"

    @property
    def is_amplified(self) -> bool:
        return any(one["rate"] < 1 for _, one in self.rounds)

    @property
    def not_amplified(self) -> int:
        """Rounds of a sampled session that count as if everybody had been asked."""
        sampled = [one for _, one in self.rounds if one["expected"] is not None]
        return sum(one["rate"] == 1 for one in sampled)

    @property
    def top(self) -> float:
        """The largest value that the picture shows."""
        return max(self.epsilon or 0.0, self.budget or 0.0)

    @property
    def line(self) -> str:
        """Epsilon by round: the points of an SVG polyline, which begins where the sessions before it ended."""
        if len(self.rounds) < 2:
            return ""
        stride = -(-len(self.rounds) // MOST_POINTS)
        shown = [*self.rounds[:-1:stride], self.rounds[-1]]
        first, last = shown[0][0], shown[-1][0]
        return " ".join(
            f"{(number - first) / (last - first) * WIDTH:.1f},{self._y(one['epsilon']):.1f}" for number, one in shown
        )

    @property
    def budget_y(self) -> str:
        return f"{self._y(self.budget):.1f}" if self.budget else ""

    def _y(self, value: float) -> float:
        return HEIGHT - 2 - value / (self.top or 1.0) * (HEIGHT - 4)

    @property
    def told(self) -> str:
        """The picture in words."""
        points = "; ".join(f"round {number}: {formats.metric(one['epsilon'])}" for number, one in self.rounds[-10:])
        return f"Epsilon after the last rounds: {points}."


def of(session: TrainingSession) -> Spent | None:
    """None: it is not private."""
    clipping = privacy.clipping_of(session)
    if clipping is None:
        return None
    made = session.own_rounds.filter(outcome=Outcome.MODEL).exclude(privacy=None).order_by("number")
    rounds: list[tuple[int, Any]] = list(made.values_list("number", "privacy"))
    return Spent(clipping, privacy.before(session), rounds)
