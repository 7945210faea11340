"""Training: from a base model and this site's data to an update, the same bytes for the same work."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, ClassVar

from clientagent import resources
from clientagent import work as works
from clientagent.by_update import LastUpdate, last_update
from clientagent.device import Device
from clientagent.errors import Failed
from clientagent.hands import Bench, Holdings
from clientagent.keeping import Keeping, Kept
from clientagent.keys import key_of
from clientagent.kinds.kind import Desk, Reporter, part_of
from clientagent.link import duration
from clientagent.progress import Progress
from clientagent.residuals import Residuals
from clientagent.state import Finished
from clientagent.work import BaseModel, Sends
from federation import killpoints
from federation.fl import client_state, encodings, weights
from federation.fl.files import encoded
from federation.fl.measures import PERSONAL
from federation.fl.strategies import ditto
from federation.fl.workloads import Report, Workload
from federation.fl.workloads.workload import LocalUpdate, TrainConfig
from federation.killpoints import Point


@dataclass(frozen=True, slots=True)
class TrainingWork(Sends):
    """Train from `base` and send the delta to `to`.

    buffers: the model's statistics, which are never encoded. stays: its tensors that stay at this site. frozen: those
    that nobody trains.
    """

    kind: ClassVar[str] = "train"
    base: BaseModel
    encoding: str
    encoding_options: Mapping[str, Any]
    buffers: tuple[str, ...]
    slots: BaseModel | None = None
    last_update: LastUpdate | None = None
    stays: tuple[str, ...] = ()
    frozen: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return self.key_with(self.base.digest, self.encoding, self.encoding_options)

    @property
    def session_key(self) -> str:
        """Names the session for which residuals are kept, and what they are of."""
        return key_of([self.session_id, self.session, self.workload_digest, self.options, self.encoding])


def parse(body: Mapping[str, Any]) -> TrainingWork:
    """What to train. Raises Failed with a sentence if members are missing or invalid."""
    with works.reading():
        return TrainingWork(
            **works.members(body),
            base=works.base_model(body),
            to=works.destination(body),
            encoding=str(body.get("encoding", encodings.PLAIN)),
            encoding_options=dict(body.get("encoding_options", {})),
            buffers=tuple(str(name) for name in body.get("buffers", ())),
            slots=works.slots(body),
            last_update=last_update(body),
            stays=works.stays(body),
            frozen=works.frozen(body),
        )


class Training:
    """Work of the kind `train`: download the base model, train it here, and send the update."""

    name = TrainingWork.kind

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @staticmethod
    def fits(workload: Workload) -> bool:
        return True

    def do(self, body: Mapping[str, Any]) -> None:
        work = parse(body)
        works.workload_of(work)
        desk, title, began = self._desk, f"{work.session}, round {work.round}", monotonic()
        with desk.working(work, title) as progress:
            before = desk.finished(work.key, progress, f"{title}: trained before; sending the update that was kept.")
            update = before or self._train(work, progress)
            desk.upload(update, work, progress)
        killpoints.reached(Point.REPORTED)
        size = update.path.stat().st_size / 1e6
        desk.display.say(f"{title}: update accepted ({size:.3g} MB after {duration(monotonic() - began)}).")

    def _train(self, work: TrainingWork, progress: Progress) -> Finished:
        desk = self._desk
        base = desk.download(work.base, progress)
        kept = self._kept(work, progress)
        desk.advance(progress, "training")(0.0)  # the data and torch come first, which can take a while
        report = Reporter(desk, progress, Point.TRAINING)
        digest = desk.hands.do(make, report, work, base, desk.state.unfinished(), desk.state.residuals, kept)
        killpoints.reached(Point.TRAINED)
        update = desk.keep(work.key, digest, progress)
        killpoints.reached(Point.UPDATE_KEPT)
        return update

    def _kept(self, work: TrainingWork, progress: Progress) -> Kept | None:
        """What this client keeps for the session, and what the strategy sends; None if nothing is to be kept."""
        desk, last = self._desk, work.last_update
        if client_state.rule_of(work.config) is None and not work.stays and ditto.LAMBDA not in work.config:
            return None
        own = desk.state.kept.find(last) if last else None
        if last and own is None:
            desk.display.say("What was kept with the last update is not in the state folder: it begins anew.")
        return Kept(desk.state.kept, own, desk.download(work.slots, progress) if work.slots else None)


KIND = Training


def make(
    bench: Bench,
    report: Report,
    work: TrainingWork,
    base: Path,
    out: Path,
    residuals: Residuals,
    kept: Kept | None = None,
) -> str:
    """Write the update to `out`. Returns its digest; raises as `Trainer.update` does."""
    return Trainer(bench.data, bench.device).update(work, base, out, report, residuals, kept)


class Trainer:
    """Makes updates on this site's data and device."""

    def __init__(self, data: Holdings, device: Device) -> None:
        self._data, self._device = data, device

    def update(
        self,
        work: TrainingWork,
        base: Path,
        out: Path,
        report: Report,
        residuals: Residuals | None = None,
        kept: Kept | None = None,
    ) -> str:
        """Train, write the update to `out`, encoded if that is asked for and known here, and return its digest.

        residuals: where to find and keep what an encoding cannot say; without them that is lost. kept: what the
        strategy has this client keep; what it is afterwards is kept with the update.
        Raises Stopped if `report` says so, Failed, or the workload's own errors.
        """
        workload = works.workload_of(work)
        limits = self._data.limits
        config = limits.applied(works.train_config(work, self._device.of(workload)))
        report = limits.watched(resources.noted(report, config.device) if limits.tells_resources else report)
        data, keeping = self._data.of(workload, work.options), Keeping(work, kept)
        config = replace(config, correction=keeping.correction, frozen=work.frozen)
        received, parts = weights.mapped(base), 2 if keeping.trains_own else 1

        def train(model: weights.Weights, config: TrainConfig, part: int = 1) -> LocalUpdate:
            told = part_of(report, part, parts, PERSONAL if part > 1 else "")
            made = workload.local_update(model, data, work.options, config, told)
            _check_finite(made.delta)
            return made

        model = keeping.model(received)
        trained = train(model, config)
        own = keeping.train_own(received, config, partial(train, part=2))
        update = keeping.part(replace(trained, metrics={**trained.metrics, **own}))
        metadata = metadata_of(update.num_examples, update.metrics, work.base.digest) | _asked(work, update)
        if work.encoding not in encodings.ENCODINGS or work.encoding == encodings.NONE.name:
            digest = weights.save(out, update.delta, metadata)  # plain is always taken
        else:
            digest = encode(work, config.seed, update.delta, metadata, out, residuals)
        keeping.keep(model, trained, config.learning_rate, digest)
        return digest


def encode(
    work: TrainingWork,
    seed: int,
    delta: weights.Weights,
    metadata: Mapping[str, str],
    out: Path,
    residuals: Residuals | None,
) -> str:
    """Write the update encoded and keep what it could not say: before the update is known, so that it is never lost."""
    encoding = encodings.build(work.encoding, work.encoding_options)
    digest, left = encoded.save(
        out,
        delta,
        encoding,
        seed=seed,
        metadata=metadata,
        buffers=[name for name in work.buffers if name in delta],
        residual=residuals.before(work.session_key, work.key) if residuals else None,
        left=residuals.unfinished() if residuals else None,
    )
    if residuals and left:
        residuals.keep(work.session_key, work.key, left)
    return digest


def _check_finite(delta: weights.Weights) -> None:
    for name, array in sorted(delta.items()):
        if not weights.all_finite(array, weights.dtype_of(name, array)):
            raise Failed(f"Training diverged: {name!r} holds a value that is not finite. Try a lower learning rate.")


def _asked(work: TrainingWork, update: LocalUpdate) -> dict[str, str]:
    """The numbers that the session's strategy needs beside the tensors, as far as the workload knows them."""
    known = {"local_steps": update.local_steps, "base_train_loss": update.base_train_loss}
    return {name: repr(value) for name, value in known.items() if name in work.config and value is not None}


def metadata_of(num_examples: int, metrics: Mapping[str, float], base_digest: str) -> dict[str, str]:
    """What an update's file says beside its tensors."""
    finite = works.finite("The metrics of the update", metrics)
    return {
        "num_examples": str(num_examples),
        "base_digest": base_digest,
        "metrics": json.dumps(finite, sort_keys=True, allow_nan=False),
    }
