"""Flower's two ways to ask a ClientApp: messages to functions (`@app.train()`), and the older `client_fn`.

Both are calls of the same ClientApp with a message; what is in the message and in the reply has other names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from clientagent.errors import Failed
from clientagent.hosts.flower.door import Flwr
from clientagent.hosts.flower.records import EXAMPLES

TRAIN, EVALUATE, GET_PARAMETERS = "train", "evaluate", "get_parameters"  # as messages are typed
OF_KIND = {TRAIN: "fit", EVALUATE: "evaluate"}  # in the older names


@dataclass(frozen=True, slots=True)
class Reply:
    """What an app answered. arrays: empty in an evaluation. metrics: as they came, without the examples."""

    num_examples: int
    arrays: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)


class Dialect(Protocol):
    """is_numbered: whether arrays have no names, so that they are called 0, 1, 2."""

    is_numbered: ClassVar[bool]

    def kinds(self) -> list[str]:
        """The kinds of work that the app does."""

    def content(self, kind: str, arrays: Any, config: Mapping[str, Any]) -> Any:
        """What a message asks, as a RecordDict."""

    def understood(self, kind: str, content: Any) -> Reply:
        """What the app's RecordDict says. Raises Failed with what is missing."""


def of(app: Any, flwr: Flwr) -> Dialect:
    """How an app wants to be asked."""
    return ByClient(flwr) if getattr(app, "_call", None) else ByMessage(flwr, app)


class ByMessage:
    """Functions that the app registers, each for a type of message."""

    is_numbered: ClassVar[bool] = False

    def __init__(self, flwr: Flwr, app: Any) -> None:
        self._flwr = flwr
        self._registered: Mapping[str, Any] = getattr(app, "_registered_funcs", {})

    def kinds(self) -> list[str]:
        return [kind for kind in (TRAIN, EVALUATE) if f"{kind}.default" in self._registered]

    def content(self, kind: str, arrays: Any, config: Mapping[str, Any]) -> Any:
        return self._flwr.record_dict({"arrays": arrays, "config": self._flwr.config_record(dict(config))})

    def understood(self, kind: str, content: Any) -> Reply:
        metrics = dict(self._only(content, self._flwr.metric_record, "MetricRecord"))
        arrays = self._only(content, self._flwr.array_record, "ArrayRecord") if kind == TRAIN else {}
        name = next((name for name in EXAMPLES if name in metrics), None)
        if name is None:
            raise Failed(f"The reply to {kind} has no {EXAMPLES[0]!r} in its MetricRecord. Its weight depends on it.")
        return Reply(_whole(metrics.pop(name)), arrays, metrics)

    def _only(self, content: Any, kind: Any, title: str) -> Any:
        found = [record for record in content.values() if isinstance(record, kind)]
        if len(found) != 1:
            raise Failed(f"The app's reply must have one {title}, and has {len(found) or 'none'}.")
        return found[0]


class ByClient:
    """A `client_fn` that makes a client with `fit` and `evaluate`."""

    is_numbered: ClassVar[bool] = True

    def __init__(self, flwr: Flwr) -> None:
        self._flwr = flwr

    def kinds(self) -> list[str]:
        return [TRAIN, EVALUATE]

    def content(self, kind: str, arrays: Any, config: Mapping[str, Any]) -> Any:
        record = self._flwr.config_record(dict(config))
        if kind == GET_PARAMETERS:
            return self._flwr.record_dict({"getparametersins.config": record})
        name = f"{OF_KIND[kind]}ins"
        return self._flwr.record_dict({f"{name}.parameters": arrays, f"{name}.config": record})

    def understood(self, kind: str, content: Any) -> Reply:
        name = f"{OF_KIND.get(kind, 'getparameters')}res"
        _require_success(name, content)
        arrays = content[f"{name}.parameters"] if kind != EVALUATE else {}
        if kind == GET_PARAMETERS:
            return Reply(1, arrays)
        metrics = dict(content[f"{name}.metrics"])
        if kind == EVALUATE:
            metrics = {"loss": content[f"{name}.loss"]["loss"], **metrics}
        return Reply(_whole(content[f"{name}.num_examples"]["num_examples"]), arrays, metrics)


def _require_success(name: str, content: Any) -> None:
    status = content[f"{name}.status"]
    if status["code"]:
        remedy = " Give --flower-initial." if name == "getparametersres" else ""
        raise Failed(f"The app's client answers: {str(status['message'] or status['code']).rstrip('.')}.{remedy}")


def _whole(given: Any) -> int:
    """A number of examples. Raises Failed for what is none."""
    if isinstance(given, float) and given.is_integer():
        return int(given)
    if not isinstance(given, int):
        raise Failed(f"The app says that it used {given!r} examples. It must be a whole number.")
    return given
