"""Initialisation: the weights that a session starts from are made here, for a workload that the server lacks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar

from clientagent import work as works
from clientagent.hands import Bench
from clientagent.kinds.kind import Desk, Reporter
from clientagent.link import duration
from clientagent.progress import Progress
from clientagent.state import Finished
from clientagent.work import Sends
from federation import killpoints
from federation.fl import weights
from federation.fl.workloads import Report, Workload
from federation.killpoints import Point


@dataclass(frozen=True, slots=True)
class InitialisationWork(Sends):
    """Make a model from the config's seed and send it to `to`."""

    kind: ClassVar[str] = "initialise"

    @property
    def key(self) -> str:
        return self.key_with(Initialisation.name)


def parse(body: Mapping[str, Any]) -> InitialisationWork:
    """What to make. Raises Failed with a sentence if members are missing or invalid."""
    with works.reading():
        return InitialisationWork(**works.members(body), to=works.destination(body))


class Initialisation:
    """Work of the kind `initialise`: make the workload's initial weights, and send them as a model."""

    name = InitialisationWork.kind

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @staticmethod
    def fits(workload: Workload) -> bool:
        return True

    def do(self, body: Mapping[str, Any]) -> None:
        work = parse(body)
        works.workload_of(work)
        desk, title, began = self._desk, f"Initialising {work.session}", monotonic()
        with desk.working(work, title) as progress:
            before = desk.finished(work.key, progress, f"{title}: made before; sending the model that was kept.")
            model = before or self._make(work, progress)
            desk.upload(model, work, progress)
        desk.display.say(f"{title}: model accepted (after {duration(monotonic() - began)}).")

    def _make(self, work: InitialisationWork, progress: Progress) -> Finished:
        desk = self._desk
        desk.display.at("making the model", 0.0, None)
        progress.at("training", 0.0)  # the contract's nearest word
        digest = desk.hands.do(make, Reporter(desk, progress, Point.TRAINING), work, desk.state.unfinished())
        model = desk.keep(work.key, digest, progress)
        killpoints.reached(Point.INITIAL_KEPT)
        return model


KIND = Initialisation


def make(bench: Bench, report: Report, work: InitialisationWork, out: Path) -> str:
    """Write the model to `out`. Returns its digest; raises Failed or the workload's own errors."""
    return write(works.workload_of(work), work.options, works.train_config(work, "cpu").seed, out)


def write(workload: Workload, options: Mapping[str, Any], seed: int, out: Path) -> str:
    """Write the initial weights, with the names of the statistics among them. Returns the file's digest."""
    bare = out.with_name("initial.tmp")
    workload.write_initial(bare, options, seed)
    try:
        return weights.save(out, weights.mapped(bare), {"buffers": json.dumps(workload.buffers(options))})
    finally:
        bare.unlink()
