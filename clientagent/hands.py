"""Who does the part of a work that computes: this process, or a worker of many clients' process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from clientagent.device import Device
from clientagent.limits import Limits
from federation.fl.workloads import Data, Report, Workload
from federation.fl.workloads.workload import Phase

P = ParamSpec("P")
T = TypeVar("T")


class Holdings(Protocol):
    """The data of one client."""

    @property
    def shares_counts(self) -> bool:
        """Whether the site's owner lets the server know how many examples each label has."""

    @property
    def limits(self) -> Limits:
        """What the site's owner allows its training to take."""

    def of(self, workload: Workload, options: Mapping[str, Any]) -> Data:
        """What the client has for a workload. Raises PartitionError or the workload's own errors."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a job is done with: one client's data, and where the site computes."""

    data: Holdings
    device: Device


Job = Callable[Concatenate[Bench, Report, P], T]
"""job(bench, report, ...) -> what is made. A function of a module, with arguments that can be pickled."""


class Watch(Protocol):
    """Hears of each step of a job, as `Report` does."""

    def __call__(self, phase: Phase, step: int, total: int, metrics: Mapping[str, float]) -> bool: ...

    def note(self, phase: Phase, step: int, total: int, metrics: Mapping[str, float], time: datetime) -> None:
        """The same of a step that was done at `time`. What it raises ends the job."""

    def waits(self) -> None:
        """The job has to wait for a worker."""

    def begins(self) -> None:
        """A worker begins with the job, after `waits`."""


class Hands(Protocol):
    def do(self, job: Job[P, T], watch: Watch, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a job and return what it returns. Raises what it raises, or what `watch` raises."""


class OwnHands:
    """This process does the job."""

    def __init__(self, data: Holdings, device: Device) -> None:
        self._bench = Bench(data, device)

    def do(self, job: Job[P, T], watch: Watch, *args: P.args, **kwargs: P.kwargs) -> T:
        return job(self._bench, watch, *args, **kwargs)
