"""This site's data: its own examples, or its part of a data set that several agents share."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from clientagent.errors import Misconfigured
from clientagent.settings import Settings
from federation.fl import partition, workloads
from federation.fl.options import OptionError
from federation.fl.workloads import Data, Workload

MOST_READ = 2  # data sets in memory: the one that is trained on, and the one that is counted


class SiteData:
    """The data of a workload and its options. They are read once, and again after a file of --data changed."""

    def __init__(self, settings: Settings) -> None:
        """Raises Misconfigured for a partition, shard or workload that is invalid."""
        self._settings = settings
        self._read: dict[str, Data] = {}
        self._stamp = _stamp(settings.data)
        self._changed = False
        try:
            self._partition = settings.partition and partition.parse(settings.partition)
            self._shard = settings.shard and partition.parse_shard(settings.shard)
            self._counted = workloads.get(settings.workload)
        except (partition.PartitionError, OptionError) as error:
            raise Misconfigured(f"--partition, --shard or --workload: {error}") from error

    def census(self, name: str) -> dict[str, Any]:
        """How many examples this site has, and of what, for the operator. name: the client's, salts the fingerprint."""
        data = self.of(self._counted, {})
        if not len(data):
            return {}
        counts: dict[str, Any] = {"num_examples": len(data), "examples": {self._counted.name: len(data)}}
        if self._settings.share_histogram:
            counts["label_histogram"] = data.histogram()
            counts["data_fingerprint"] = data.fingerprint(name)
        return counts

    @property
    def shares_counts(self) -> bool:
        """Whether the site's owner lets the server know how many examples each label has."""
        return self._settings.share_histogram

    def of(self, workload: Workload, options: Mapping[str, Any]) -> Data:
        """What this site has for a workload."""
        self._forget_if_changed()
        key = json.dumps([workload.name, options], sort_keys=True)
        if key not in self._read:
            while len(self._read) >= MOST_READ:
                del self._read[next(iter(self._read))]
            self._read[key] = self._part(workload.training_data(options, self._settings.data))
        return self._read[key]

    def take_change(self) -> bool:
        """Whether data were read again because they had changed, since the last call."""
        changed, self._changed = self._changed, False
        return changed

    def _forget_if_changed(self) -> None:
        """The mark is taken before data are read: what changes meanwhile is read the next time."""
        stamp = _stamp(self._settings.data)
        if stamp != self._stamp:
            self._stamp, self._changed = stamp, self._changed or bool(self._read)
            self._read.clear()

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


def _stamp(place: Path | None) -> str:
    """A mark of a folder's or a file's state, by names, sizes and times of change. No content is read."""
    sha = sha256()
    for path in sorted(_files(place)) if place else ():
        with contextlib.suppress(OSError):
            stat = path.stat()
            sha.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode(errors="surrogateescape"))
    return sha.hexdigest()


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    for folder, _, names in os.walk(place):
        yield from (Path(folder, name) for name in names)
