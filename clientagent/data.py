"""This site's data: its own examples, or its part of a data set that several agents share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from clientagent.errors import Misconfigured
from clientagent.settings import Settings
from federation.fl import partition, workloads
from federation.fl.options import OptionError
from federation.fl.workloads import Data, Workload


class SiteData:
    """The data of each workload and its options, read once."""

    def __init__(self, settings: Settings) -> None:
        """Raises Misconfigured for a partition, shard or workload that is invalid."""
        self._settings = settings
        self._read: dict[str, Data] = {}
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

    def of(self, workload: Workload, options: Mapping[str, Any]) -> Data:
        """What this site trains a workload on."""
        key = json.dumps([workload.name, options], sort_keys=True)
        if key not in self._read:
            self._read[key] = self._part(workload.training_data(options, self._settings.data))
        return self._read[key]

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
