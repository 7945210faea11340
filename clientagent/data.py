"""This site's data: its own examples, or its part of a data set that several agents share."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any, TypeVar

import numpy as np

from clientagent import validation
from clientagent.errors import Misconfigured
from clientagent.limits import Limits, limits_of
from clientagent.settings import Settings
from federation.fl import partition, workloads
from federation.fl.options import OptionError
from federation.fl.weights import Array
from federation.fl.workloads import Data, Workload

T = TypeVar("T")
MOST_READ = 2  # data sets in memory: the one that is trained on, and the one that is counted
QUICK_SECONDS = 0.05  # a look at the files that takes no longer is made for each piece of work
LOOK_RATIO = 20.0  # otherwise, of the time between two looks to what one takes


class SiteData:
    """The data of a workload and its options. They are read once, and again after a file of --data changed."""

    def __init__(self, settings: Settings) -> None:
        """Raises Misconfigured for a partition, shard or workload that is invalid."""
        self._settings = settings
        self._read: dict[str, Data] = {}
        self._stamps = [Stamp(settings.data), Stamp(settings.validation)]
        self._asked = False
        self._changed = False
        self._notes: list[str] = []
        self._partition = _checked("partition", settings.partition, partition.parse)
        self._shard = _checked("shard", settings.shard, partition.parse_shard)
        _checked("workload", settings.workload, workloads.get)

    def census(self, name: str) -> dict[str, Any]:
        """How many examples this site has, and of what, for the operator. name: the client's, salts the fingerprint."""
        workload = workloads.get(self._settings.workload)  # as it is now: a file may have changed
        if not is_counted(workload):
            return {}
        return counted(self.of(workload, {}), workload, name, in_full=self.shares_counts)

    @property
    def shares_counts(self) -> bool:
        """Whether the site's owner lets the server know how many examples each label has."""
        return self._settings.share_histogram

    @property
    def limits(self) -> Limits:
        """What the site's owner allows its training to take."""
        return limits_of(self._settings)

    def of(self, workload: Workload, options: Mapping[str, Any]) -> Data:
        """What this site has for a workload. Raises PartitionError or the workload's own errors."""
        self._forget_if_changed()
        self._asked = True
        key = json.dumps([workload.name, workload.digest(), options], sort_keys=True)
        if key not in self._read:
            while len(self._read) >= MOST_READ:
                del self._read[next(iter(self._read))]
            found = self._part(workload.training_data(options, self._settings.data))
            if (own := self._settings.validation) is not None:
                found = validation.joined(found, workload.training_data(options, own), own)
            self._notes += getattr(found, "notes", ())
            self._read[key] = found
        return self._read[key]

    def take_change(self) -> bool:
        """Whether data were read again because they had changed, since the last call."""
        changed, self._changed = self._changed, False
        return changed

    def take_notes(self) -> list[str]:
        """What is odd about data that were read since the last call, in sentences."""
        notes, self._notes = list(dict.fromkeys(self._notes)), []
        return notes

    def _forget_if_changed(self) -> None:
        """The mark is taken before data are read: what changes meanwhile is read the next time."""
        if any([stamp.has_changed() for stamp in self._stamps]):
            self._changed = self._changed or self._asked
            self._read.clear()

    def _part(self, data: Data) -> Data:
        """This site's share of a data set, and of that at most --samples, drawn with --partition-seed."""
        seed = self._settings.partition_seed
        if self._partition and self._shard:
            number, count = self._shard
            indices = partition.shard_indices(
                labels_of(data), self._partition, shard=number, num_shards=count, seed=seed
            )
            data = data.subset(indices)
        drawn = sample(len(data), self._settings.samples, seed)
        return data if drawn is None else data.subset(drawn)


def labels_of(data: Data) -> Array:
    """(n,) int64, what a data set is split by: one label for all where there are none, the first of several."""
    if data.labels.ndim > 1:
        first: Array = data.labels.argmax(axis=1)
        return first
    return data.labels if len(data.labels) else np.zeros(len(data), np.int64)


def sample(num_examples: int, most: int | None, seed: int) -> Array | None:
    """Which examples to use if at most `most` may be, ascending (int64). None: all of them."""
    if most is None or most >= num_examples:
        return None
    drawn: Array = np.sort(np.random.default_rng(seed).permutation(num_examples)[:most])
    return drawn


def is_counted(workload: Workload) -> bool:
    """Whether its data are known before a session: not where only the session's options say which data there are."""
    return not getattr(workload, "is_read_by_options", False)


def counted(data: Data, workload: Workload, name: str, *, in_full: bool) -> dict[str, Any]:
    """How many examples there are, for the operator. in_full: of what, too, and a fingerprint that `name` salts."""
    if not len(data) and not data.label_names:
        return {}  # a workload without data of its own
    counts: dict[str, Any] = {"num_examples": len(data), "examples": {workload.name: len(data)}}
    if in_full:
        counts["label_histogram"] = data.histogram()
        counts["data_fingerprint"] = data.fingerprint(name)
    return counts


class Stamp:
    """A mark of the state of a folder or a file, by names, sizes, times of change and inodes. No content is read.

    Looking through a large folder takes long, so that is done for a small part of the time only.
    """

    def __init__(self, place: Path | None) -> None:
        self._place = place
        self._next = 0.0
        self._seen = self._look()

    def has_changed(self) -> bool:
        """Whether it is another one than when it was looked at last."""
        if monotonic() < self._next:
            return False
        before, self._seen = self._seen, self._look()
        return self._seen != before

    def _look(self) -> str:
        began, sha = monotonic(), sha256()
        for path in sorted(_files(self._place)) if self._place else ():
            with contextlib.suppress(OSError):
                stat = path.stat()
                mark = f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ino}\0"
                sha.update(mark.encode(errors="surrogateescape"))
        took = monotonic() - began
        self._next = monotonic() + (LOOK_RATIO * took if took > QUICK_SECONDS else 0.0)
        return sha.hexdigest()


def _checked(flag: str, text: str | None, read: Callable[[str], T]) -> T | None:
    """What a flag says, if it was given. Raises Misconfigured naming it."""
    try:
        return None if text is None else read(text)
    except (partition.PartitionError, OptionError) as error:
        raise Misconfigured(f"--{flag}: {error}") from error


def _files(place: Path) -> Iterator[Path]:
    """The files below a folder, also behind links; each folder once."""
    if place.is_file():
        yield place
    seen: set[tuple[int, int]] = set()
    for folder, inner, names in os.walk(place, followlinks=True):
        there = _inode(folder)
        if there in seen:
            inner.clear()  # a link leads back here
            continue
        seen.add(there)
        yield from (Path(folder, name) for name in names)


def _inode(folder: str) -> tuple[int, int]:
    """Which folder it is, whatever its path; (0, 0) if it is gone."""
    with contextlib.suppress(OSError):
        stat = os.stat(folder)
        return stat.st_dev, stat.st_ino
    return 0, 0
