"""The measures of two models beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from federation import parsing
from federation.fl import measures
from federation.fl.measures import Direction
from federation.models import GlobalModel
from federation.services.models import choosing

HOW = {"metrics": "", "federated_metrics": ", by the clients"}


@dataclass(frozen=True, slots=True)
class Measure:
    name: str
    measure: measures.Measure
    values: Sequence[float | None]

    @property
    def change(self) -> float | None:
        first, second = self.values
        return None if first is None or second is None else second - first

    @property
    def is_better(self) -> bool | None:
        """Whether the second is better; None where it is not known which way is better."""
        if self.measure.direction == Direction.NONE or not self.change:
            return None
        return self.measure.gain(self.change, 0.0) > 0


def of(models: Sequence[GlobalModel]) -> list[Measure]:
    """Everything that was measured of any of two models."""
    declared = choosing.ordered(models[0].session)
    found = {(name, of): None for model in models for of in HOW for name in choosing.measured(model, of)}
    return [
        Measure(
            f"{name}{HOW[of]}",
            measures.of(name, declared),
            [parsing.number(choosing.measured(model, of).get(name)) for model in models],
        )
        for name, of in sorted(found, key=lambda pair: (pair[0], list(HOW).index(pair[1])))
    ]
