"""How good a global model is."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter

from federation.models import GlobalModel

METRICS = {"accuracy": max, "loss": min}  # of the global model, and which value is the best


def best(models: Sequence[GlobalModel]) -> GlobalModel | None:
    """The best model: by central accuracy, else by central loss, else by what the clients found."""
    for of in ("metrics", "federated_metrics"):
        for name, choose in METRICS.items():
            known = [(found, model) for model in models if (found := value(model, of, name)) is not None]
            if known:
                return choose(known, key=itemgetter(0))[1]
    return None


def value(model: GlobalModel, of: str, name: str) -> float | None:
    """One number that was found of it. of: `metrics` or `federated_metrics`."""
    found = getattr(model, of).get(name)
    return float(found) if isinstance(found, int | float) else None
