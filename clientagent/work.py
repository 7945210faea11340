"""A piece of work, as the server describes it, checked.

Here is what each kind of work has, and the parts that several kinds have; a kind adds its own in its file.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from clientagent import policy
from clientagent.errors import Failed
from clientagent.keys import key_of
from federation.fl import optimizers, workloads
from federation.fl.local_options import LocalOptions
from federation.fl.workloads import TrainConfig, Workload

DECLARED = ("epochs", "batch_size", "learning_rate", "seed", "optimizer", "local_options")
"""Members of a work's config. The rest is the strategy's."""


@dataclass(frozen=True, slots=True)
class Work:
    """What each kind of work has. round: its number among those of its kind. kind: as the work's JSON names it."""

    kind: ClassVar[str]
    participation: str
    session: str
    session_id: str
    round: int
    workload: str
    workload_digest: str
    options: Mapping[str, Any]
    config: Mapping[str, Any]

    def key_with(self, *more: Any) -> str:
        """Names what would be made: the same for the same seat, even after a restart.

        More than the participation's id, which a server with a new database counts from 1 again. more: whatever else
        decides what is made.
        """
        return key_of([self.participation, self.workload_digest, self.options, self.config, *more])


@dataclass(frozen=True, slots=True)
class Sends(Work):
    """Work that is answered by a file of tensors, sent to `to`."""

    to: Destination


@dataclass(frozen=True, slots=True)
class BaseModel:
    """The stored model that the work starts from, or that it is about."""

    digest: str
    num_bytes: int
    url: str
    version: int


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a file of tensors is sent, whole up to `max_put_bytes`, otherwise in parts."""

    url: str
    part_bytes: int
    max_put_bytes: int


# ---- the server's JSON


def participation(body: Mapping[str, Any]) -> str:
    """The seat's id, which is enough to give it up. Raises Failed if it is missing or invalid."""
    value = body.get("participation")
    if not isinstance(value, str) or not re.fullmatch(r"[\w.~-]{1,100}", value):
        raise Failed(f"The server offers work without a participation: {str(value)[:100]!r}.")
    return value


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Raises Failed with a sentence if members that are read within the block are missing or invalid."""
    try:
        yield
    except (KeyError, TypeError, ValueError) as error:
        raise Failed(f"The server's work cannot be read ({type(error).__name__}: {error}).") from error


def members(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `Work`. To be called within `reading`, like those below."""
    workload = body["workload"]
    return {
        "participation": participation(body),
        "session": str(body["session"]["name"]),
        "session_id": str(body["session"]["id"]),
        "round": int(body["round"]),
        "workload": str(workload["name"]),
        "workload_digest": str(workload["digest"]),
        "options": dict(workload["options"]),
        "config": dict(body["config"]),
    }


def base_model(body: Mapping[str, Any]) -> BaseModel:
    base = body["base_model"]
    return BaseModel(
        digest=_digest(base["digest"]),
        num_bytes=_positive(base["num_bytes"]),
        url=str(base["url"]),
        version=int(base.get("version", 0)),
    )


def slots(body: Mapping[str, Any]) -> BaseModel | None:
    """What the strategy sends beside the model: a file like one."""
    told = body.get("slots")
    return base_model({"base_model": told}) if told else None


def stays(body: Mapping[str, Any]) -> tuple[str, ...]:
    """The model's tensors that stay at this site."""
    return tuple(str(name) for name in body.get("stays", ()))


def frozen(body: Mapping[str, Any]) -> tuple[str, ...]:
    """The model's tensors that nobody trains."""
    return tuple(str(name) for name in body.get("frozen", ()))


def destination(body: Mapping[str, Any]) -> Destination:
    return Destination(
        url=str(body["update_url"]),
        part_bytes=_positive(body["part_bytes"]),
        max_put_bytes=int(body["max_put_bytes"]),
    )


def _digest(value: object) -> str:
    """It becomes a file's name, so it must be one."""
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
        raise ValueError(f"{str(value)[:80]!r} is not a digest")
    return value


def _positive(value: object) -> int:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{str(value)[:80]!r} is not a positive number")
    return value


# ---- what is known here of what it asks for


def workload_of(work: Work) -> Workload:
    """The workload of this work.

    Raises Failed if this agent has none of that name, or one that trains differently, or if the site does not allow it.
    """
    if work.workload not in workloads.WORKLOADS:
        raise Failed(
            f"This agent does not have the workload {work.workload!r} (on the server: "
            f"{_short(work.workload_digest)}). Update the agent, or put its file into the folder --workloads."
        )
    workload = workloads.get(work.workload)
    if sentence := policy.refusal(work.workload, workload.digest()):
        raise Failed(sentence)
    if work.workload_digest not in workloads.alike(work.workload, here := workload.digest()):
        raise Failed(
            f"The source of the workload {work.workload!r} is {_short(here)} here and {_short(work.workload_digest)} "
            f"on the server. {_remedy(work.workload)}"
        )
    return workload


def _remedy(name: str) -> str:
    built_in = name in workloads.WORKLOADS.built_in
    return "Update the agent." if built_in else "Both need the same file or package; start the agent again with it."


def _short(digest: str) -> str:
    return f"{digest[:12]}…"


def finite(what: str, metrics: Mapping[str, Any]) -> dict[str, float | None]:
    """Numbers by name, None for one that is not finite. Raises Failed naming one that is no number.

    what: where they come from.
    """
    found: dict[str, float | None] = {}
    for name, value in metrics.items():
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise Failed(f"{what}: {name!r} must be a number, not {str(value)[:100]!r}.") from None
        found[name] = number if math.isfinite(number) else None
    return found


def train_config(work: Work, device: str) -> TrainConfig:
    """The work's config, for a device. Raises Failed if a member is missing or invalid."""
    config = work.config
    try:
        optimizer = config.get("optimizer", {"name": optimizers.PLAIN.name, "options": {}})
        return TrainConfig(
            epochs=int(config["epochs"]),
            batch_size=int(config["batch_size"]),
            learning_rate=float(config["learning_rate"]),
            seed=int(config["seed"]),
            device=device,
            extra={name: float(value) for name, value in config.items() if name not in DECLARED},
            optimizer=optimizers.build(optimizer["name"], optimizer["options"]),
            local=LocalOptions.read(config.get("local_options", {})),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Failed(f"The server's config cannot be used ({type(error).__name__}: {error}).") from error
