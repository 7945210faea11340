"""What the process of many clients, its nursery and its workers say to each other. They are of one release."""

from __future__ import annotations

import ctypes
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from clientagent.settings import Settings
from federation.fl.workloads.workload import Phase

PARENT_DIED = 1  # PR_SET_PDEATHSIG


@dataclass(frozen=True, slots=True)
class Beginning:
    """The first message to a nursery."""

    settings: Settings
    clients: int


@dataclass(frozen=True, slots=True)
class Load:
    """To a nursery: have these data, so that workers that are forked from now on have them too. Answer: Loaded."""

    workload: str
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Loaded:
    """error: why the data are not there; empty if they are."""

    error: str = ""


@dataclass(frozen=True, slots=True)
class Forget:
    """To a nursery: the files changed, so that data have to be read again."""


@dataclass(frozen=True, slots=True)
class Fork:
    """To a nursery, followed by a file descriptor: fork a worker that listens there. Answer: its process id."""


@dataclass(frozen=True, slots=True)
class Order:
    """To a worker: do a job with the data of a client."""

    client: int
    job: Callable[..., Any]
    args: tuple[Any, ...]
    options: Mapping[str, Any]


class Step(NamedTuple):
    """What a job reports. There are many, and a tuple travels several times faster than a dataclass."""

    phase: Phase
    step: int
    total: int
    metrics: Mapping[str, float]
    time: datetime


@dataclass(frozen=True, slots=True)
class Steps:
    """From a worker, while a job lasts."""

    steps: list[Step]


@dataclass(frozen=True, slots=True)
class Stop:
    """To a worker: the job is no longer needed."""


@dataclass(frozen=True, slots=True)
class Done:
    """From a worker: what the job returned."""

    value: Any


@dataclass(frozen=True, slots=True)
class Undone:
    """From a worker: why the job failed, a sentence. trace: where, of an error that nobody foresaw."""

    error: str
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Stopped:
    """From a worker: it stopped, as it was told to."""


def outlive_nobody() -> None:
    """Ignore the terminal's Ctrl-C, which is for the first process, and die with the process that made this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DIED, signal.SIGKILL)
