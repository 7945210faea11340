"""How a client spent its time in a round: as its agent measured it. When a message arrived says nothing of that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from federation import parsing
from federation.lifecycle import COUNTED
from federation.models import Participation


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds by the client's clock, up to the moment when its upload began."""

    downloading: float
    training: float  # with its evaluation
    until: datetime

    def uploading(self, reported_at: datetime | None) -> float | None:
        return max(0.0, (reported_at - self.until).total_seconds()) if reported_at else None


def is_measured(seat: Participation) -> bool:
    """Whether the client said how long its phases took, or had no cause to: it did not get as far."""
    return isinstance(seat.timings, dict) or seat.status not in COUNTED


def of(seat: Participation) -> Spent | None:
    """None: the client did not say."""
    if not isinstance(seat.timings, dict) or seat.trained_at is None:
        return None
    down, train, evaluate = (_seconds(seat.timings.get(name)) for name in ("downloading", "training", "evaluating"))
    return Spent(down, train + evaluate, seat.trained_at)


def _seconds(value: object) -> float:
    return max(0.0, parsing.number(value) or 0.0)
