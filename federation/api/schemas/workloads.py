"""Workloads as the API shows them, and what a client tells of one."""

from __future__ import annotations

from typing import Any, Literal

from ninja import Schema


class OptionOut(Schema):
    name: str
    kind: Literal["int", "float", "str", "bool"]
    default: Any
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    choices: list[Any] = []
    help: str = ""
    label: str = ""


class MeasureOut(Schema):
    name: str
    title: str = ""
    direction: Literal["max", "min", "none"] = "none"
    unit: str = ""
    combine: Literal["mean", "sum", "min", "max", "none"] = "mean"


class HolderOut(Schema):
    """An enabled client that reported the workload. agrees: it declares what this entry says."""

    id: str
    name: str
    online: bool
    digest: str
    num_examples: int | None
    kinds: list[str]
    agrees: bool


class WorkloadOut(Schema):
    """A workload in one version. digest: the server's, or that of most sites."""

    name: str
    version: str
    origin: Literal["server", "sites"]
    title: str
    summary: str
    digest: str
    options: list[OptionOut]
    measures: list[MeasureOut]
    train_defaults: dict[str, float]
    clients: list[HolderOut]


class Workloads(Schema):
    items: list[WorkloadOut]


class TrainDefaults(Schema):
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None


class Entry(Schema):
    """A workload that a client tells in `info.catalogue`. Unknown members are dropped."""

    name: str
    digest: str
    version: str = ""
    title: str = ""
    summary: str = ""
    options: list[OptionOut] = []
    measures: list[MeasureOut] = []
    train_defaults: TrainDefaults | None = None
    num_examples: int | None = None
    kinds: list[str] = []
