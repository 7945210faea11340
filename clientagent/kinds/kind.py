"""What a kind of work is, and what it has at hand."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from clientagent.api import Api
from clientagent.data import SiteData
from clientagent.device import Device
from clientagent.display import Display
from clientagent.models import ModelCache
from clientagent.progress import Advance, Progress
from clientagent.state import State


@dataclass(frozen=True, slots=True)
class Desk:
    """What a piece of work is done with. leaving: set when the person at the terminal wants the agent to leave."""

    api: Api
    models: ModelCache
    state: State
    data: SiteData
    device: Device
    display: Display
    leaving: threading.Event

    def advance(self, progress: Progress, phase: str) -> Advance:
        """A function that reports to terminal and server how far a phase is."""

        def advance(fraction: float) -> None:
            self.display.at(phase, fraction, None)
            progress.at(phase, fraction)

        return advance


class Kind(Protocol):
    """Each kind is a class in a file of its own. `name` is the `kind` in the work's JSON."""

    name: str

    def __init__(self, desk: Desk) -> None: ...

    def do(self, body: Mapping[str, Any]) -> None:
        """Do a piece of work and send its result.

        body: the work, as the server describes it.
        Raises Dropped or Stopped if the server no longer needs it. Failed, or a workload's own error, gives the
        seat up with that reason.
        """
