"""Models that got much worse, and points of curves that are no number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

from django.db.models import Q

from federation.fl.measures import Direction, Measure
from federation.fl.numbers import bounded
from federation.models import GlobalModel, TrainingSession
from federation.services.models import choosing


@dataclass(frozen=True, slots=True)
class Fall:
    """A model that is worse than the best before it by more than a factor."""

    measure: Measure
    model: GlobalModel
    value: float
    best: float

    def sentence(self, session: TrainingSession, factor: float) -> str:
        what = f"The {self.measure.phrase} of {session.name} is {self.value:.3g} at v{self.model.version}"
        if self.measure.direction == Direction.MIN:
            return f"{what}, more than {factor:g} times its best, {self.best:.3g}."
        return f"{what}. Its best, {self.best:.3g}, is more than {factor:g} times that."


def falls(session: TrainingSession, models: Sequence[GlobalModel], factor: float) -> Iterator[Fall]:
    """By the main measure and by those that training minimises. models: by version."""
    main = choosing.main_measure(session)
    for measure in choosing.ordered(session):
        if measure == main or measure.direction == Direction.MIN:
            yield from _falls(models, measure, factor)


def _falls(models: Sequence[GlobalModel], measure: Measure, factor: float) -> Iterator[Fall]:
    best: float | None = None
    for model in models:
        value = bounded(model.metrics.get(measure.name, model.federated_metrics.get(measure.name)))
        if value is None:
            continue
        if best is not None and _is_far(measure, value, best, factor):
            yield Fall(measure, model, value, best)
        best = value if best is None else measure.best((best, value))


def _is_far(measure: Measure, value: float, best: float, factor: float) -> bool:
    if measure.direction == Direction.MIN:
        return value > factor * best > 0
    return 0 < value * factor < best


def should_be_finite() -> Q:
    """Points of measures that training minimises, with whatever a client writes before their names."""
    falling = (one.name for one in choosing.USUAL if one.direction == Direction.MIN)
    return reduce(or_, (Q(name=name) | Q(name__endswith=f"_{name}") for name in falling))
