"""Evaluation: a stored model is measured on this site's held-out data, and only numbers are sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar

import numpy as np

from clientagent import keeping
from clientagent import work as works
from clientagent.by_update import LastUpdate, last_update
from clientagent.errors import Failed
from clientagent.hands import Bench
from clientagent.kinds.kind import Desk, Reporter, part_of
from clientagent.link import duration
from clientagent.progress import Progress
from clientagent.state import NUMBERS, Finished
from clientagent.work import BaseModel, Work
from federation import killpoints
from federation.fl import staying, weights
from federation.fl.measures import PERSONAL
from federation.fl.weights import Weights
from federation.fl.workloads import Evaluates, LocalEvaluation, Report, Workload
from federation.fl.workloads.workload import Phase
from federation.killpoints import Point

MOST_SHOWN = 4  # measures in a line at the terminal


@dataclass(frozen=True, slots=True)
class EvaluationWork(Work):
    """Measure `base`, and this site's own model beside it, if it has one.

    stays: the tensors that stay here. fine_tune: the config of a training of the own model before that; empty: none.
    """

    kind: ClassVar[str] = "evaluate"
    base: BaseModel
    stays: tuple[str, ...] = ()
    last_update: LastUpdate | None = None
    fine_tune: Mapping[str, Any] = field(default_factory=dict)
    frozen: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return self.key_with(Evaluation.name, self.base.digest)


def parse(body: Mapping[str, Any]) -> EvaluationWork:
    """What to measure. Raises Failed with a sentence if members are missing or invalid."""
    with works.reading():
        return EvaluationWork(
            **works.members(body),
            base=works.base_model(body),
            stays=works.stays(body),
            frozen=works.frozen(body),
            last_update=last_update(body),
            fine_tune=dict(body.get("fine_tune", {})),
        )


class Evaluation:
    """Work of the kind `evaluate`: download the model, measure it here, and send the numbers."""

    name = EvaluationWork.kind

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @staticmethod
    def fits(workload: Workload) -> bool:
        return isinstance(workload, Evaluates)

    def do(self, body: Mapping[str, Any]) -> None:
        work = parse(body)
        _evaluating(work)
        desk, began = self._desk, monotonic()
        title = f"Evaluating version {work.base.version} of {work.session}"
        with desk.working(work, title) as progress:
            note = f"{title}: measured before; sending the result that was kept."
            result = desk.finished(work.key, progress, note) or self._measure(work, progress)
            sent = desk.report(result, work, progress)
        desk.display.say(f"{title}: result accepted ({summary(sent)}; after {duration(monotonic() - began)}).")

    def _measure(self, work: EvaluationWork, progress: Progress) -> Finished:
        desk = self._desk
        model = desk.download(work.base, progress)
        desk.advance(progress, "evaluating")(0.0)  # the data and torch come first, which can take a while
        own = desk.state.kept.find(work.last_update) if work.last_update else None
        result = desk.hands.do(measure, Reporter(desk, progress, Point.EVALUATING), work, model, own)
        desk.state.unfinished().write_bytes(result)
        kept = desk.keep(work.key, sha256(result).hexdigest(), progress, NUMBERS)
        killpoints.reached(Point.RESULT_KEPT)
        return kept


KIND = Evaluation


def measure(bench: Bench, report: Report, work: EvaluationWork, model: Path, kept: Path | None = None) -> bytes:
    """The result as it is sent. Raises Stopped if `report` says so, Failed, or the workload's own errors.

    kept: what this site kept with its last update that counted.
    """
    workload = works.workload_of(work)
    limits = bench.data.limits
    config, report = limits.applied(works.train_config(work, bench.device.of(workload))), limits.watched(report)
    data = bench.data.of(workload, work.options)
    shared = weights.mapped(model)
    own = keeping.own_model(kept, shared, work.stays)
    if work.fine_tune:
        own = _fine_tuned(bench, report, work, shared if own is None else own)
    models = [shared] if own is None else [shared, own]
    found = [
        _evaluating(work).local_evaluation(one, data, work.options, config, part_of(report, part, len(models)))
        for part, one in enumerate(models, 1)
    ]
    metrics = dict(found[0].metrics)
    for other in found[1:]:
        metrics |= {f"{PERSONAL}{name}": value for name, value in other.metrics.items()}
    return as_json(replace(found[0], metrics=metrics), with_counts=bench.data.shares_counts)


def _fine_tuned(bench: Bench, report: Report, work: EvaluationWork, own: Weights) -> Weights:
    """The own model after some epochs on the examples that training uses; its steps are no points of a curve."""
    workload = works.workload_of(work)
    config = works.train_config(replace(work, config=work.fine_tune), bench.device.of(workload))
    config = replace(config, frozen=work.frozen)
    data = bench.data.of(workload, work.options)

    def quietly(phase: Phase, step: int, total: int, metrics: Mapping[str, float]) -> bool:
        return report(phase, step, total, {})

    update = workload.local_update(own, data, work.options, bench.data.limits.applied(config), quietly)
    return staying.trained(own, update.delta, own)


def _evaluating(work: EvaluationWork) -> Evaluates:
    """The workload, if its models can be measured here. Raises Failed otherwise."""
    workload = works.workload_of(work)
    if not isinstance(workload, Evaluates):
        raise Failed(f"The workload {work.workload!r} has nothing to measure at a site.")
    return workload


def as_json(found: LocalEvaluation, *, with_counts: bool) -> bytes:
    """The result as it is sent: the same bytes for the same numbers."""
    metrics = works.finite("The evaluation", found.metrics)
    result: dict[str, Any] = {"num_examples": found.num_examples, "metrics": metrics}
    if with_counts and found.counts:
        result["counts"] = found.counts
    return json.dumps(result, sort_keys=True, allow_nan=False, default=_plain).encode()


def _plain(value: Any) -> Any:
    """NumPy's numbers and arrays as Python's."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no number")


def summary(result: bytes) -> str:
    """The first numbers of a result, for the terminal."""
    sent = json.loads(result)
    numbers = sorted(sent["metrics"].items())[:MOST_SHOWN]
    shown = [f"{name} {'not finite' if value is None else format(value, '.4g')}" for name, value in numbers]
    return ", ".join([f"{sent['num_examples']} examples", *shown])
