"""The updates that went into a model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from federation.fl.strategies.strategy import discount
from federation.models import GlobalModel, Participation
from federation.services.models import building


@dataclass(slots=True)
class Ingredient:
    """An update that went into a model, and its share of the examples, discounted where it was late.

    How much it counts is the strategy's matter.
    """

    seat: Participation
    share: float

    @property
    def late(self) -> bool:
        return self.seat.counted_in_id is not None


def of(model: GlobalModel) -> list[Ingredient]:
    seats = list(building.counted(model.round)) if model.round else []
    counts = discount(np.array([seat.staleness for seat in seats])) * [max(0, seat.weight) for seat in seats]
    shares = (counts / (counts.sum() or 1)).tolist()
    return [Ingredient(seat, share) for seat, share in zip(seats, shares, strict=True)]
