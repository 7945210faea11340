"""What training takes of this machine, as further curves: steps a second, memory, processor and GPU.

Processes that read files for it are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic, process_time

from clientagent import card, memory
from clientagent.card import Card
from clientagent.children import Children
from federation.fl.measures import resources
from federation.fl.workloads import Report
from federation.fl.workloads.workload import Phase

EVERY_SECONDS = 1.0  # between two looks
LAST_SECONDS = 0.25  # a shorter rest of the training is too short to measure
SHARE = 0.01  # of the training so far: the longer it takes, the less often

Clock = Callable[[], float]


def noted(report: Report, device: str) -> Report:
    """The same report, whose points of training also say what it takes."""
    meter = Meter(card.of(device))

    def noting(phase: Phase, step: int, total: int, metrics: Mapping[str, float]) -> bool:
        if phase != "training":
            meter.pause()
            return report(phase, step, total, metrics)
        return report(phase, step, total, {**metrics, **meter.at(step, is_last=step == total)})

    return noting


class Meter:
    """Measures a training from one look to the next. busy: seconds of processor that have been used."""

    def __init__(self, gpu: Card | None, clock: Clock = monotonic, busy: Clock | None = None) -> None:
        self._gpu, self._clock, self._children = gpu, clock, Children()
        self._busy = busy or (lambda: process_time() + self._children.busy())
        self._began: float | None = None
        self._since: tuple[int, float, float] | None = None  # step, clock, busy

    def pause(self) -> None:
        """What follows is no training: the next step begins a new stretch."""
        self._since = None

    def at(self, step: int, *, is_last: bool) -> dict[str, float]:
        """The numbers of the stretch that ends with this step; none if it is not time for them."""
        now = self._clock()
        if self._began is None:
            self._began = now
        if self._since is None:
            self._since = step, now, self._busy()
            return {}
        before, then, busy_then = self._since
        seconds = now - then
        if seconds < (LAST_SECONDS if is_last else max(EVERY_SECONDS, SHARE * (now - self._began))):
            return {}
        busy = self._busy()
        self._since = step, now, busy
        return {
            resources.STEPS.name: (step - before) / seconds,
            resources.PROCESSOR.name: 100 * (busy - busy_then) / seconds,
            **self._held(),
        }

    def _held(self) -> dict[str, float]:
        """What is held now, as far as this machine says it."""
        held = memory.resident() + self._children.memory() if memory.IS_KNOWN else 0
        found = {resources.MEMORY.name: held / 1e6} if held else {}
        if self._gpu is not None:
            found[resources.GPU_MEMORY.name] = self._gpu.reserved_mb()
            if (percent := self._gpu.percent()) is not None:
                found[resources.GPU.name] = percent
        return found
