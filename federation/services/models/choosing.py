"""How good a global model is, by the measures of its session."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from federation.fl import measures
from federation.fl.measures import Direction, Measure
from federation.fl.numbers import bounded
from federation.models import GlobalModel, TrainingSession
from federation.work.declared import declared as declared

USUAL = tuple(one for one in measures.KNOWN.values() if one.direction != Direction.NONE)


def ordered(session: TrainingSession) -> tuple[Measure, ...]:
    """The measures that tell how good its models are: the main measure, then the others.

    A session without a main measure, as earlier versions made them, goes by the first one that was measured.
    """
    known = declared(session)
    found = [one for one in known if one.direction != Direction.NONE] or list(USUAL)
    main = main_measure(session)
    return (main, *(one for one in found if one.name != main.name)) if main else tuple(found)


def main_measure(session: TrainingSession) -> Measure | None:
    """The one that was chosen, if it has a direction."""
    if not session.main_measure:
        return None
    found = measures.of(session.main_measure, declared(session))
    return found if found.direction != Direction.NONE else None


def best(models: Sequence[GlobalModel], by: Sequence[Measure] = USUAL) -> GlobalModel | None:
    """The best model by the first measure that is known of one: the server's numbers first, then the clients'.

    Of those that are alike the one that is best by the next measures, and of these the newest.
    """
    for of in ("metrics", "federated_metrics"):
        for n, measure in enumerate(by):
            known = [(found, model) for model in models if (found := value(model, of, measure.name)) is not None]
            if known:
                top = measure.best(found for found, _ in known)
                alike = [model for found, model in known if found == top]
                return min(alike, key=lambda model: (*_badness(model, of, by[n + 1 :]), -model.version))
    return None


def _badness(model: GlobalModel, of: str, by: Sequence[Measure]) -> list[float]:
    found = ((value(model, of, one.name), one.direction) for one in by)
    return [math.inf if known is None else known if way == Direction.MIN else -known for known, way in found]


def value(model: GlobalModel, of: str, name: str) -> float | None:
    """One number that was found of it. of: `metrics` or `federated_metrics`."""
    return bounded(measured(model, of).get(name))


def measured(model: GlobalModel, of: str) -> Mapping[str, object]:
    """Everything that was measured of it. Empty if the database has no object there."""
    found = getattr(model, of)
    return found if isinstance(found, dict) else {}
