"""The latest messages of the feed, in memory: who fell behind catches up from here, and costs no query."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive events of one log, encoded once for everybody. at: the time of the last one."""

    first: int
    last: int
    text: str
    at: datetime | None = None


class Recent:
    """Batches by their log and the event before their first one. The oldest go when `most` bytes are full.

    Readers that have seen the same are answered by the same batch, and what the feed sent is kept too: so a hundred
    sockets that fell behind together read the database once. Any thread may call it.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._num_bytes = 0
        self._batches: OrderedDict[tuple[int, int], Batch] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, log_id: int, batch: Batch) -> None:
        key = (log_id, batch.first - 1)
        with self._lock:
            known = self._batches.pop(key, None)
            if known is not None:
                self._num_bytes -= len(known.text)
                batch = max(known, batch, key=lambda one: one.last)
            self._batches[key] = batch
            self._num_bytes += len(batch.text)
            while self._num_bytes > self._most:
                self._num_bytes -= len(self._batches.popitem(last=False)[1].text)

    def after(self, log_id: int, seen: int) -> Batch | None:
        """The batch that begins with the event after `seen`, if it is kept."""
        with self._lock:
            return self._batches.get((log_id, seen))

    def clear(self) -> None:
        with self._lock:
            self._batches.clear()
            self._num_bytes = 0
