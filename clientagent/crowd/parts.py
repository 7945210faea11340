"""The data of all clients of one process: each data set is in memory once, with the examples that each client has."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clientagent.data import MOST_READ, counted, is_counted, labels_of, sample
from clientagent.hands import Bench, Holdings
from clientagent.limits import Limits, limits_of
from clientagent.settings import Settings
from federation.fl import partition, workloads
from federation.fl.weights import Array
from federation.fl.workloads import Data, Report, Workload


@dataclass(frozen=True, slots=True)
class Whole:
    """A data set, and by client which of its examples are the client's."""

    data: Data
    shares: list[Array]

    def part(self, index: int) -> Data:
        """One client's examples. What was computed of each example of the whole is not computed again."""
        mine = self.shares[index]
        part = self.data.subset(mine)
        vars(part)["ranks"] = self.data.ranks[mine]
        return part


class Parts:
    """For one thread. A process that is forked from one with data in memory shares them with it."""

    def __init__(self, settings: Settings, clients: int) -> None:
        self._settings = settings
        self._clients = clients
        self._partition = partition.parse(settings.partition or "iid")
        self._read: dict[str, Whole] = {}

    def load(self, workload: Workload, options: Mapping[str, Any]) -> Whole:
        """What the site has for a workload. Raises PartitionError or the workload's own errors."""
        key = key_of(workload.name, options)
        if key not in self._read:
            while len(self._read) >= MOST_READ:
                del self._read[next(iter(self._read))]
            self._read[key] = self._split(workload.training_data(options, self._settings.data))
        return self._read[key]

    def forget(self) -> None:
        """Read everything again, the next time that it is needed."""
        self._read.clear()

    def of(self, number: int) -> Part:
        """The holdings of a client, counted from 1."""
        return Part(self, number - 1, self._settings)

    def _split(self, data: Data) -> Whole:
        """As each client by itself would: its shard, and of that at most --samples."""
        seed = self._settings.partition_seed
        shards = partition.all_shards(labels_of(data), self._partition, num_shards=self._clients, seed=seed)
        whole = Whole(data, [self._at_most(shard, seed) for shard in shards])
        _ = data.ranks  # computed here, and not by each process of its own
        return whole

    def _at_most(self, shard: Array, seed: int) -> Array:
        drawn = sample(len(shard), self._settings.samples, seed)
        return shard if drawn is None else shard[drawn]


@dataclass(frozen=True, slots=True)
class Part(Holdings):
    """One client's data."""

    parts: Parts
    index: int
    settings: Settings

    @property
    def shares_counts(self) -> bool:
        return self.settings.share_histogram

    @property
    def limits(self) -> Limits:
        return limits_of(self.settings)

    def of(self, workload: Workload, options: Mapping[str, Any]) -> Data:
        return self.parts.load(workload, options).part(self.index)


def census(bench: Bench, report: Report, workload: str, name: str) -> dict[str, Any]:
    """What a client tells of its data when it joins. name: the client's, salts the fingerprint."""
    counting = workloads.get(workload)
    if not is_counted(counting):
        return {}
    return counted(bench.data.of(counting, {}), counting, name, in_full=bench.data.shares_counts)


def key_of(workload: str, options: Mapping[str, Any]) -> str:
    return json.dumps([workload, options], sort_keys=True)
