"""From a base model and this site's data to an update file: the same bytes for the same work."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from clientagent import device
from clientagent.errors import Failed, Misconfigured
from clientagent.residuals import Residuals
from clientagent.settings import Settings
from clientagent.work import Work
from federation.fl import encodings, partition, weights, workloads
from federation.fl.files import encoded
from federation.fl.options import OptionError
from federation.fl.workloads import Data, LocalUpdate, Report, TrainConfig, Workload

DECLARED = ("epochs", "batch_size", "learning_rate", "seed")  # of a work's config; the rest is the strategy's


class Trainer:
    """This site's data and device. Data are read once and torch is imported when first needed."""

    def __init__(self, settings: Settings) -> None:
        """Raises Misconfigured for a partition, shard or workload that cannot be."""
        self._settings = settings
        self._device = ""
        self._data: dict[str, Data] = {}
        try:
            self._partition = settings.partition and partition.parse(settings.partition)
            self._shard = settings.shard and partition.parse_shard(settings.shard)
            self._counted = workloads.get(settings.workload)
        except (partition.PartitionError, OptionError) as error:
            raise Misconfigured(f"--partition, --shard or --workload: {error}") from error

    def census(self, name: str) -> dict[str, Any]:
        """How many examples this site has, and of what, for the operator. name: the client's, salts the fingerprint."""
        data = self._training_data(self._counted, {})
        if not len(data):
            return {}
        counts: dict[str, Any] = {"num_examples": len(data), "examples": {self._counted.name: len(data)}}
        if self._settings.share_histogram:
            counts["label_histogram"] = data.histogram()
            counts["data_fingerprint"] = data.fingerprint(name)
        return counts

    def device_for(self, workload: Workload) -> str:
        """Where it trains. The first time for a workload that needs it, torch is imported and set up."""
        if not workload.needs_torch:
            return "cpu"
        if not self._device:
            self._device = device.choose(self._settings.device)
            _set_up_torch(self._settings.threads)
        return self._device

    def update(self, work: Work, base: Path, out: Path, report: Report, residuals: Residuals | None = None) -> str:
        """Train, write the update to `out`, encoded if that is asked for and known here, and return its digest.

        residuals: where to find and keep what an encoding cannot say; without them that is lost.
        Raises Stopped where `report` says so, Failed or the workload's own errors.
        """
        workload = known_workload(work)
        config = _train_config(work.config, self.device_for(workload))
        data = self._training_data(workload, work.options)
        update = workload.local_update(weights.mapped(base), data, work.options, config, report)
        _check_finite(update.delta)
        metadata = _metadata(update, work.base_digest)
        if work.encoding not in encodings.ENCODINGS or work.encoding == encodings.NONE.name:
            return weights.save(out, update.delta, metadata)  # plain is always taken
        return _encode(work, config.seed, update.delta, metadata, out, residuals)

    def _training_data(self, workload: Workload, options: Mapping[str, Any]) -> Data:
        key = json.dumps([workload.name, options], sort_keys=True)
        if key not in self._data:
            self._data[key] = self._part(workload.training_data(options, self._settings.data))
        return self._data[key]

    def _part(self, data: Data) -> Data:
        """This site's share of a data set, and of that at most --samples, drawn with --partition-seed."""
        seed = self._settings.partition_seed
        if self._partition and self._shard:
            number, count = self._shard
            indices = partition.shard_indices(data.labels, self._partition, shard=number, num_shards=count, seed=seed)
            data = data.subset(indices)
        most = self._settings.samples
        if most is not None and most < len(data):
            data = data.subset(np.sort(np.random.default_rng(seed).permutation(len(data))[:most]))
        return data


def known_workload(work: Work) -> Workload:
    """The workload of this work. Raises Failed where it is not known here, or not the same as the server's."""
    if work.workload not in workloads.WORKLOADS:
        raise Failed(
            f"This agent does not have the workload {work.workload!r} (the server's: {_short(work.workload_digest)}, "
            f"here: none): update the agent."
        )
    workload = workloads.get(work.workload)
    if (here := workload.digest()) != work.workload_digest:
        raise Failed(
            f"The source of the workload {work.workload!r} is {_short(here)} here and {_short(work.workload_digest)} "
            f"on the server: update the agent."
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


def _set_up_torch(threads: int) -> None:
    """The same sums in the same order, whatever the machine would choose by itself."""
    import torch

    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True, warn_only=True)


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
