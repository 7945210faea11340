"""Flower's records and what is sent here: tensors, numbers, and what an app keeps for itself."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from clientagent.errors import Failed
from clientagent.hosts.flower.door import Flwr
from federation.fl.weights import Array, shown

EMPTY = "_empty"  # stands in a record of Flower's older API that has no array
MOST_NUMBERS = 100  # of one list among the metrics
LONGEST_METRIC = 50  # what it may grow by stays within the 64 that a server takes
EXAMPLES = ("num-examples", "num_examples")
OF_EVALUATION = ("eval", "test", "val")  # how apps begin the names of what they measure
LONG_NAMES = {"acc": "accuracy"}


# ---- tensors


def array_record(flwr: Flwr, tensors: Mapping[str, Array], like: Iterable[str] = ()) -> Any:
    """An ArrayRecord of these tensors. Numbered names come in their order, others as in `like`, or by name."""
    return flwr.array_record({name: flwr.array(np.asarray(tensors[name])) for name in in_order(tensors, like)})


def in_order(names: Iterable[str], like: Iterable[str] = ()) -> list[str]:
    """Files have no order of their own, but an app that takes a list of arrays goes by it."""
    found, wanted = sorted(names), list(like)
    if sorted(wanted) == found:
        return wanted
    return sorted(found, key=int) if all(name.isdecimal() for name in found) else found


def tensors(record: Mapping[str, Any]) -> dict[str, Array]:
    """The arrays of an ArrayRecord by name. Raises Failed naming one that is not NumPy's."""
    found = {}
    for name, array in record.items():
        if name == EMPTY:
            continue
        try:
            found[str(name)] = np.asarray(array.numpy())
        except (TypeError, ValueError) as error:
            raise Failed(f"The app's array {shown(str(name))} cannot be read: {error}.") from error
    return found


def require_same(found: Mapping[str, Array], base: Mapping[str, Array]) -> None:
    """Raises Failed naming the first array that came back missing, new or in another shape."""
    if missing := [name for name in base if name not in found]:
        raise Failed(f"The app's reply lacks the array {shown(missing[0])}. {_rule(base)}")
    if further := [name for name in found if name not in base]:
        raise Failed(f"The app's reply has the array {shown(further[0])}, which did not come. {_rule(base)}")
    for name, array in base.items():
        if found[name].shape != array.shape:
            raise Failed(
                f"The app's array {shown(name)} came back with the shape {list(found[name].shape)} instead of "
                f"{list(array.shape)}."
            )


def _rule(base: Mapping[str, Array]) -> str:
    some = ", ".join(shown(name) for name in list(base)[:3])
    return f"An app returns exactly the arrays that came: {some}{', …' if len(base) > 3 else ''}."


# ---- numbers


def numbers(metrics: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    """The numbers among an app's metrics, and why others are none. A list becomes name_0, name_1 and so on."""
    found: dict[str, float] = {}
    others: dict[str, str] = {}
    for name, value in metrics.items():
        each = {name: value}
        if isinstance(value, list):
            each = {f"{name}_{place}": one for place, one in enumerate(value[:MOST_NUMBERS])}
        for one, number in each.items():
            if not isinstance(number, int | float):
                others[name] = "is no number"
            elif not one.strip() or len(one) > LONGEST_METRIC or not one.isprintable():
                others[name] = f"has a name that is not 1 to {LONGEST_METRIC} printable characters"
            else:
                found[one] = _float(number)
    return found, others


def _float(number: float) -> float:
    try:
        return float(number)
    except OverflowError:  # a whole number beyond every float
        return math.inf


def trained(name: str) -> str:
    """A metric of training as curves know it: eval_acc becomes val_accuracy, train-loss becomes train_loss."""
    prefix, rest = _parts(name)
    return f"val_{rest}" if prefix in OF_EVALUATION else f"{prefix}_{rest}" if prefix else rest


def measured(name: str) -> str:
    """A metric of an evaluation as measures are named: without eval_, test_ or val_, and in full."""
    prefix, rest = _parts(name)
    return rest if prefix in OF_EVALUATION or not prefix else f"{prefix}_{rest}"


def _parts(name: str) -> tuple[str, str]:
    """'eval_acc' as ('eval', 'accuracy'). The first is empty where the name has no beginning that is known."""
    words = re.fullmatch(rf"({'|'.join(OF_EVALUATION)}|train)[_-](.+)", name)
    prefix, rest = (words[1], words[2]) if words else ("", name)
    return prefix, LONG_NAMES.get(rest, rest)


# ---- what an app keeps


def plain(state: Mapping[str, Any], flwr: Flwr) -> dict[str, Any] | None:
    """A context's state as Python's own values, which outlive an upgrade of flwr. None if it is empty."""
    found: dict[str, Any] = {}
    for name, record in state.items():
        if isinstance(record, flwr.array_record):
            found[name] = ("arrays", {key: (a.dtype, a.shape, a.stype, a.data) for key, a in record.items()})
        else:
            kind = "metrics" if isinstance(record, flwr.metric_record) else "config"
            found[name] = (kind, dict(record))
    return found or None


def state(kept: Mapping[str, Any] | None, flwr: Flwr) -> Any:
    """The state again that `plain` made plain."""
    found = flwr.record_dict()
    for name, (kind, values) in (kept or {}).items():
        if kind == "arrays":
            found[name] = flwr.array_record({key: flwr.array(*parts) for key, parts in values.items()})
        else:
            found[name] = (flwr.metric_record if kind == "metrics" else flwr.config_record)(dict(values))
    return found
