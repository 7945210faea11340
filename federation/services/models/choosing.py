"""How good a global model is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from federation.fl.numbers import bounded
from federation.models import GlobalModel

METRICS = {"accuracy": max, "loss": min}  # of the global model, and which value is the best


def best(models: Sequence[GlobalModel]) -> GlobalModel | None:
    """The best model: by central accuracy, else by central loss, else by what the clients found.

    Of those that are alike the one with the lowest loss, and of these the newest.
    """
    for of in ("metrics", "federated_metrics"):
        for name, choose in METRICS.items():
            known = [(found, model) for model in models if (found := value(model, of, name)) is not None]
            if known:
                top = choose(found for found, _ in known)
                alike = [model for found, model in known if found == top]
                return min(alike, key=lambda model: (_loss(model, of), -model.version))
    return None


def _loss(model: GlobalModel, of: str) -> float:
    loss = value(model, of, "loss")
    return math.inf if loss is None else loss


def value(model: GlobalModel, of: str, name: str) -> float | None:
    """One number that was found of it. of: `metrics` or `federated_metrics`."""
    return bounded(measured(model, of).get(name))


def measured(model: GlobalModel, of: str) -> Mapping[str, object]:
    """Everything that was measured of it. Empty if the database has no object there."""
    found = getattr(model, of)
    return found if isinstance(found, dict) else {}
