"""The embedded default: a Celery worker and the beat's tick as threads of the server process."""

import itertools
import logging
import threading
import time
from queue import Empty
from typing import Any, ClassVar

from django.db import DatabaseError
from kombu.transport import memory

from federation import database, killpoints

log = logging.getLogger(__name__)
arrived = threading.Event()
_started = threading.Lock()


class Channel(memory.Channel):
    """A queue in memory that wakes the worker when something is put in.

    A task that waits there already is not put in again: it has yet to look at what there is to do.
    """

    _waiting: ClassVar[set[tuple[str, str, str]]] = set()
    _lock = threading.Lock()

    def _put(self, queue: str, message: Any, **kwargs: Any) -> None:
        call = _call(queue, message)
        with self._lock:
            if call in self._waiting and self._size(queue):
                return
            self._waiting.add(call)
            super()._put(queue, message, **kwargs)
        arrived.set()

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        with self._lock:
            message = super()._get(queue, timeout)
            self._waiting.discard(_call(queue, message))
        return message


def _call(queue: str, message: Any) -> tuple[str, str, str]:
    """Which task a message starts, with what arguments."""
    return queue, message["headers"].get("task", ""), message["body"]


class Transport(memory.Transport):
    """Kombu's memory transport without its polling interval: no task waits for a sleep to end."""

    Channel = Channel

    def drain_events(self, connection: Any, timeout: float | None = None) -> None:
        arrived.clear()
        try:
            self.cycle.get(self._deliver, timeout=timeout)
        except Empty:
            arrived.wait(1.0 if timeout is None else timeout)
            raise TimeoutError from None


def start() -> None:
    """Start the worker and the tick, once a process."""
    if not _started.acquire(blocking=False):
        return
    threading.Thread(target=_work, name="worker", daemon=True).start()
    threading.Thread(target=_tick, name="tick", daemon=True).start()


def _work() -> None:
    from federation.services import rounds
    from flsite import first_start
    from flsite.celery import app

    killpoints.reached(killpoints.Point.STARTING)
    try:
        database.patiently(rounds.free_leases, "the worker")  # whoever held one died with the last server process
    except DatabaseError:
        sentence = first_start.fault()
        if not sentence:
            raise
        log.error("the worker does not start: %s", sentence)
        return
    killpoints.reached(killpoints.Point.LEASES_FREED)
    worker = app.WorkController(
        app=app,
        pool="solo",
        concurrency=1,
        loglevel="WARNING",
        without_heartbeat=True,
        without_mingle=True,
        without_gossip=True,
    )
    worker.start()


def _tick() -> None:
    from federation import tasks

    for second in itertools.count():
        if second % 3600 == 0:
            tasks.prune.delay()
        if second % 60 == 30:
            tasks.expire.delay()
        tasks.advance_all.delay()
        if second % 2 == 0:
            tasks.watch.delay()
        time.sleep(1)
