"""The measures of two models beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from federation import parsing
from federation.models import GlobalModel
from federation.services.models import choosing


@dataclass(frozen=True, slots=True)
class Measure:
    name: str
    values: Sequence[float | None]

    @property
    def change(self) -> float | None:
        first, second = self.values
        return None if first is None or second is None else second - first

    @property
    def is_better(self) -> bool | None:
        """Whether the second is better; None where it is not known which way is better."""
        known = next((name for name in choosing.METRICS if self.name.startswith(name)), None)
        if known is None or not self.change:
            return None
        return (self.change > 0) == (choosing.METRICS[known] is max)


def of(models: Sequence[GlobalModel]) -> list[Measure]:
    """Everything that was measured of any of two models."""
    given: list[Mapping[str, Any]] = [
        {
            **{f"{k}, by the clients": v for k, v in choosing.measured(m, "federated_metrics").items()},
            **choosing.measured(m, "metrics"),
        }
        for m in models
    ]
    names = sorted({name for one in given for name in one})
    return [Measure(name, [parsing.number(one.get(name)) for one in given]) for name in names]
