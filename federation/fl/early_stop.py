"""When a session has learnt enough: decided from the numbers of its models, the oldest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from federation.fl.measures import Direction, Measure
from federation.fl.options import Option


class By(StrEnum):
    """Whose measurement of a model counts."""

    CLIENTS = "clients"  # on their own held-out data
    SERVER = "server"  # on the workload's test set


OPTIONS = (
    Option(
        "patience", int, None, minimum=1, maximum=100_000, empty="never", label="Stop without gain after",
        help="Rounds in a row without a better model. Empty: never.",
    ),
    Option(
        "min_delta", float, 0.0, minimum=0.0, maximum=1e30, label="Least gain",
        help="A smaller gain of the main measure counts as none.",
    ),
    Option(
        "target", float, None, minimum=-1e30, maximum=1e30, empty="no value", label="Stop at",
        help="The session ends once the main measure is this good. Empty: no value is enough.",
    ),
    Option(
        "measured_by", str, By.CLIENTS.value, choices=tuple(by.value for by in By),
        help="The clients, on their own held-out data, or the server, on the workload's test set. Each next round "
        "then waits for the server's measurement, for at most 10 minutes.",
    ),
)  # fmt: skip


class Why(StrEnum):
    TARGET = "target"
    PATIENCE = "patience"


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a session stops. value: of the newest model that was measured; best: of any."""

    why: Why
    value: float
    best: float


def by_server(rule: Mapping[str, Any] | None) -> bool:
    """Whether the server's measurements decide. Rules of before there was a choice do not say it."""
    return rule is not None and rule.get("measured_by") == By.SERVER


def may_be_due(rule: Mapping[str, Any], measure: Measure, newest: float, most: int) -> bool:
    """Whether `due` needs the earlier values. False only where it would continue whatever they are.

    newest: the last of the values. most: how many there can be, the newest included.
    """
    target, patience = rule["target"], rule["patience"]
    return (target is not None and measure.gain(newest, target) >= 0) or (patience is not None and most > patience)


def due(rule: Mapping[str, Any], measure: Measure, values: Sequence[float]) -> Stop | None:
    """Whether to stop after these values of the measure, by version; None to continue.

    rule: the checked options of this file. A measure without a direction stops nothing.
    """
    if not values or measure.direction == Direction.NONE:
        return None
    best = measure.best(values)
    assert best is not None
    if rule["target"] is not None and measure.gain(values[-1], rule["target"]) >= 0:
        return Stop(Why.TARGET, values[-1], best)
    if rule["patience"] is not None and _without_gain(values, measure, rule["min_delta"]) >= rule["patience"]:
        return Stop(Why.PATIENCE, values[-1], best)
    return None


def _without_gain(values: Sequence[float], measure: Measure, min_delta: float) -> int:
    """How many values in a row, the newest included, were no better than the best before them."""
    best, row = values[0], 0
    for value in values[1:]:
        gain = measure.gain(value, best)
        if gain > 0 and gain >= min_delta:
            best, row = value, 0
        else:
            row += 1
    return row
