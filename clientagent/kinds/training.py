"""Training: from a base model and this site's data to an update, the same bytes for the same work."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from clientagent import upload
from clientagent import work as works
from clientagent.data import SiteData
from clientagent.device import Device
from clientagent.errors import Failed
from clientagent.kinds.kind import Desk
from clientagent.link import duration
from clientagent.progress import Progress
from clientagent.residuals import Residuals
from clientagent.state import Finished
from clientagent.work import Work
from federation import killpoints
from federation.fl import encodings, weights, workloads
from federation.fl.files import encoded
from federation.fl.workloads import LocalUpdate, Report, TrainConfig, Workload
from federation.killpoints import Point

DECLARED = ("epochs", "batch_size", "learning_rate", "seed")  # of a work's config; the rest is the strategy's


class Training:
    """Work of the kind `train`: download the base model, train it here, and send the update."""

    name = "train"

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._trainer = Trainer(desk.data, desk.device)

    def do(self, body: Mapping[str, Any]) -> None:
        work = works.parse(body)
        known_workload(work)
        desk, title, began = self._desk, f"{work.session}, round {work.round}", monotonic()
        desk.display.begin(title)
        with Progress(desk.api, work.participation, desk.display.say) as progress, desk.api.until(progress.dropped):
            update = self._finished(work, title, progress) or self._train(work, progress)
            advance = desk.advance(progress, "uploading")
            advance(0.0)
            progress.flush()
            upload.send(desk.api, work, update, advance)
        killpoints.reached(Point.REPORTED)
        size = update.path.stat().st_size / 1e6
        desk.display.say(f"{title}: update accepted ({size:.3g} MB after {duration(monotonic() - began)}).")

    def _finished(self, work: Work, title: str, progress: Progress) -> Finished | None:
        """The update that an earlier start has trained, if there is one."""
        update = self._desk.state.finished(work.key)
        if update is not None:
            self._desk.display.say(f"{title}: trained before; sending the update that was kept.")
            progress.send_again(self._desk.state.points(work.key))
        return update

    def _train(self, work: Work, progress: Progress) -> Finished:
        desk = self._desk
        downloading = desk.advance(progress, "downloading")
        downloading(0.0)
        base = desk.models.fetch(desk.api, work, downloading)
        desk.advance(progress, "training")(0.0)  # the data and torch come first, which can take a while
        report = Reporter(desk, progress)
        digest = self._trainer.update(work, base, desk.state.unfinished(), report, desk.state.residuals)
        killpoints.reached(Point.TRAINED)
        update = desk.state.keep(work.key, digest, progress.unconfirmed())
        killpoints.reached(Point.UPDATE_KEPT)
        return update


KIND = Training


class Reporter:
    """What a workload calls after each step. It reports to terminal and server, and returns whether to continue."""

    def __init__(self, desk: Desk, progress: Progress) -> None:
        self._desk, self._progress = desk, progress
        self._loss: float | None = None

    def __call__(self, phase: str, step: int, total: int, metrics: Mapping[str, float]) -> bool:
        if self._desk.leaving.is_set():
            raise KeyboardInterrupt  # the signal's own was swallowed by a library
        killpoints.reached(Point.TRAINING)
        self._loss = metrics.get("train_loss", self._loss)
        self._progress.points(step, metrics)
        fraction = step / max(total, 1)
        self._desk.display.at(phase, fraction, self._loss)
        self._progress.at(phase, fraction)
        return True


class Trainer:
    """Makes updates on this site's data and device."""

    def __init__(self, data: SiteData, device: Device) -> None:
        self._data, self._device = data, device

    def update(self, work: Work, base: Path, out: Path, report: Report, residuals: Residuals | None = None) -> str:
        """Train, write the update to `out`, encoded if that is asked for and known here, and return its digest.

        residuals: where to find and keep what an encoding cannot say; without them that is lost.
        Raises Stopped if `report` says so, Failed, or the workload's own errors.
        """
        workload = known_workload(work)
        config = _train_config(work.config, self._device.of(workload))
        data = self._data.of(workload, work.options)
        update = workload.local_update(weights.mapped(base), data, work.options, config, report)
        _check_finite(update.delta)
        metadata = _metadata(update, work.base_digest)
        if work.encoding not in encodings.ENCODINGS or work.encoding == encodings.NONE.name:
            return weights.save(out, update.delta, metadata)  # plain is always taken
        return _encode(work, config.seed, update.delta, metadata, out, residuals)


def known_workload(work: Work) -> Workload:
    """The workload of this work. Raises Failed if this agent has none of that name, or one that trains differently."""
    if work.workload not in workloads.WORKLOADS:
        raise Failed(
            f"This agent does not have the workload {work.workload!r} (on the server: "
            f"{_short(work.workload_digest)}). Update the agent."
        )
    workload = workloads.get(work.workload)
    if work.workload_digest not in workloads.alike(work.workload, here := workload.digest()):
        raise Failed(
            f"The source of the workload {work.workload!r} is {_short(here)} here and {_short(work.workload_digest)} "
            f"on the server. Update the agent."
        )
    return workload


def _short(digest: str) -> str:
    return f"{digest[:12]}…"


def _encode(
    work: Work, seed: int, delta: weights.Weights, metadata: Mapping[str, str], out: Path, residuals: Residuals | None
) -> str:
    """Write the update encoded and keep what it could not say: before the update is known, so that it is never lost."""
    encoding = encodings.build(work.encoding, work.encoding_options)
    digest, left = encoded.save(
        out,
        delta,
        encoding,
        seed=seed,
        metadata=metadata,
        buffers=work.buffers,
        residual=residuals.before(work.session_key, work.key) if residuals else None,
        left=residuals.unfinished() if residuals else None,
    )
    if residuals and left:
        residuals.keep(work.session_key, work.key, left)
    return digest


def _train_config(config: Mapping[str, Any], where: str) -> TrainConfig:
    try:
        return TrainConfig(
            epochs=int(config["epochs"]),
            batch_size=int(config["batch_size"]),
            learning_rate=float(config["learning_rate"]),
            seed=int(config["seed"]),
            device=where,
            extra={name: float(value) for name, value in config.items() if name not in DECLARED},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Failed(f"The server's config cannot be used ({type(error).__name__}: {error}).") from error


def _check_finite(delta: weights.Weights) -> None:
    for name, array in sorted(delta.items()):
        if not weights.all_finite(array, weights.dtype_of(name, array)):
            raise Failed(f"Training diverged: {name!r} holds a value that is not finite. Try a lower learning rate.")


def _metadata(update: LocalUpdate, base_digest: str) -> dict[str, str]:
    metrics = {name: value if math.isfinite(value) else None for name, value in update.metrics.items()}
    return {
        "num_examples": str(update.num_examples),
        "base_digest": base_digest,
        "metrics": json.dumps(metrics, sort_keys=True, allow_nan=False),
    }
