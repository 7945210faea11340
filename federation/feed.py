"""Tails the logs and hands what is new to whoever waits in this process: browsers and polling agents.

One thread a process, with its own database connection. It looks every 50 ms while somebody waits, and when
this process committed something: at once where that gave clients a seat or where it had been quiet, else 20 ms
after the last look. So whoever wrote an event, in this process, in a worker or on another machine, it arrives
by the same road, and a restarted broker loses nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from federation import events, meters
from federation.compiled import Rows
from federation.lifecycle import LIVE, SeatStatus
from federation.models import Event, Participation, Server, ServerEvent, TrainingSession
from federation.recent import Batch, Recent
from federation.services import server

log = logging.getLogger(__name__)

POLL_SECONDS = 0.05
REST_SECONDS = 0.02  # after a look: in a busy round every client commits something
BATCH = 500  # events in one message at most
MESSAGE_BYTES = 128 << 10  # a message of this size takes no further event
PIECE = 50  # events read at once: each may contain hundreds of points
QUEUE = 64  # messages that may wait for one browser before it has to catch up from the database
QUEUE_BYTES = 256 << 10  # a queue of this size takes no further message
KEPT_BYTES = 4 << 20  # of messages, for those that fell behind
INVITING = frozenset(
    (
        Event.Kind.ROUND_OPENED,
        Event.Kind.ROUND_REOPENED,
        Event.Kind.EVALUATION_OPENED,
        Event.Kind.SEAT_INVITED,
    )
)
_inviting = Rows(
    lambda session, seq: (
        Event.objects.filter(session=session, seq__gt=seq, kind__in=INVITING).order_by().values_list("seq")[:1]
    ),
    int,
    int,
)
_live_ends = Rows(lambda: TrainingSession.objects.filter(status__in=LIVE).order_by().values_list("pk", "last_seq"))
SERVER_LOG = 0  # stands for the server's own log where a session's id stands otherwise


class Pending(asyncio.Queue[Batch]):
    """The messages for one browser. The queue is full by number or by size."""

    def __init__(self) -> None:
        super().__init__(QUEUE)
        self._num_bytes = 0

    def full(self) -> bool:
        return super().full() or self._num_bytes >= QUEUE_BYTES

    def _put(self, item: Batch) -> None:
        self._num_bytes += len(item.text)
        super()._put(item)

    def _get(self) -> Batch:
        item: Batch = super()._get()
        self._num_bytes -= len(item.text)
        return item


@dataclass(eq=False, slots=True)
class Subscription:
    """One browser's place in the feed. `queue` holds batches; after an overflow there is a gap between two."""

    log_id: int
    loop: asyncio.AbstractEventLoop
    queue: Pending = field(default_factory=Pending)

    def offer(self, batch: Batch) -> None:
        """Called in the browser's own loop."""
        if not self.queue.full():
            self.queue.put_nowait(batch)


@dataclass(eq=False, slots=True)
class Waiter:
    """An agent in a long poll, which joins the feed once it is known which client it is."""

    loop: asyncio.AbstractEventLoop
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    client_id: int | None = None
    left: bool = False


class Feed:
    """What one process is listening for, and the thread that listens."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stir = threading.Event()
        self._called = threading.Event()  # agents are waited for: no rest
        self._thread: threading.Thread | None = None
        self._watched: defaultdict[int, set[Subscription]] = defaultdict(set)
        self._agents: defaultdict[int, set[Waiter]] = defaultdict(set)
        self._cursors: dict[int, int] = {}

    @contextmanager
    def watch(self, log_id: int) -> Iterator[Subscription]:
        """Join a session's log, or the server's (SERVER_LOG). Read what was missed only after joining."""
        subscription = Subscription(log_id, asyncio.get_running_loop())
        with self._lock:
            self._add(self._watched, log_id, subscription)
        self.wake()
        try:
            yield subscription
        finally:
            with self._lock:
                _remove(self._watched, log_id, subscription)

    @contextmanager
    def waiting(self) -> Iterator[Waiter]:
        """A place for an agent that may `join`, for the length of a block."""
        waiter = Waiter(asyncio.get_running_loop())
        try:
            yield waiter
        finally:
            with self._lock:
                waiter.left = True
                if waiter.client_id is not None:
                    _remove(self._agents, waiter.client_id, waiter)

    def join(self, waiter: Waiter, client_id: int) -> None:
        """Set `woken` from now on when a round opens with a seat for this client. Look for work after joining.

        Any thread may call it, also one whose caller has left meanwhile.
        """
        with self._lock:
            if waiter.left:
                return
            waiter.client_id = client_id
            self._add(self._agents, client_id, waiter)
        self.wake()

    def _add(self, register: defaultdict[int, set[Any]], key: int, who: object) -> None:
        register[key].add(who)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
            self._thread.start()

    def wake(self, kinds: Collection[str] = ()) -> None:
        """Look soon: events of these kinds were committed, or somebody joined."""
        if not INVITING.isdisjoint(kinds):
            self._called.set()
        self._stir.set()

    def _run(self) -> None:
        silence_checked = 0.0
        while True:
            self._stir.wait(POLL_SECONDS if self._is_needed else None)
            self._stir.clear()
            self._called.clear()
            try:
                self._look()
                self._called.wait(REST_SECONDS)
                if self._is_needed and time.monotonic() - silence_checked > 5:
                    silence_checked = time.monotonic()
                    server.notice_silence(now=timezone.now())
            except (DatabaseError, InterfaceError) as error:
                log.warning("the feed waits for the database: %s", error)
                connection.close()
                time.sleep(0.5)

    @property
    def _is_needed(self) -> bool:
        return bool(self._watched or self._agents)

    def _look(self) -> None:
        with self._lock:
            watched, agents = set(self._watched), set(self._agents)
        if not watched and not agents:
            self._cursors.clear()
            recent.clear()
            return
        moved = self._moved(watched, bool(agents))
        for log_id, last in moved.items():
            if log_id in watched:
                # At the first look somebody may have read up to here already, or up to a moment before: the last
                # event shows which.
                self._deliver(log_id, self._cursors.get(log_id, max(0, last - 1)), last)
        if agents and (sessions := [log_id for log_id in moved if log_id != SERVER_LOG and self._invites(log_id)]):
            seats = Participation.objects.filter(status=SeatStatus.INVITED, round__session__in=sessions)
            self._wake_agents(agents.intersection(seats.values_list("client_id", flat=True)))
        self._cursors.update(moved)

    def _invites(self, log_id: int) -> bool:
        """Whether what a session's log gained since the last look gave clients a seat, or nobody knows."""
        if log_id not in self._cursors:
            return True
        return bool(_inviting(log_id, self._cursors[log_id]))

    def _moved(self, watched: set[int], any_agent: bool) -> dict[int, int]:
        """The logs that grew since the last look, or are seen for the first time, with their ends."""
        ends = dict(_live_ends()) if any_agent else {}
        if ended := watched - ends.keys():
            ends |= TrainingSession.objects.filter(pk__in=ended).values_list("pk", "last_seq")
        if SERVER_LOG in watched:
            ends[SERVER_LOG] = Server.objects.values_list("last_seq", flat=True).filter(pk=1).first() or 0
        return {log_id: end for log_id, end in ends.items() if self._cursors.get(log_id) != end}

    def _deliver(self, log_id: int, after: int, last: int) -> None:
        while after < last:
            batch = read(log_id, after)
            if batch is None:
                return
            after = batch.last
            recent.keep(log_id, batch)
            if batch.at is not None:
                meters.feed_delay.observe(max(0.0, (timezone.now() - batch.at).total_seconds()))
            with self._lock:
                subscriptions = list(self._watched.get(log_id, ()))
            for subscription in subscriptions:
                _call(subscription.loop, subscription.offer, batch)

    def _wake_agents(self, client_ids: set[int]) -> None:
        with self._lock:
            waiters = [waiter for client_id in client_ids for waiter in self._agents.get(client_id, ())]
        for waiter in waiters:
            _call(waiter.loop, waiter.woken.set)


def _remove(register: defaultdict[int, set[Any]], key: int, who: object) -> None:
    register[key].discard(who)
    if not register[key]:
        del register[key]


def _call(loop: asyncio.AbstractEventLoop, what: Any, *args: Any) -> None:
    """Do something in another thread's loop, unless that loop has ended meanwhile."""
    with suppress(RuntimeError):  # closed
        loop.call_soon_threadsafe(what, *args)


def read(log_id: int, after: int) -> Batch | None:
    """The next events after `after`, as many as fit in one message, or None if there are none."""
    seqs, texts, size, at = [after], list[str](), 0, None
    while len(texts) < BATCH and size < MESSAGE_BYTES:
        wanted = min(PIECE, BATCH - len(texts))
        rows = _rows(log_id, seqs[-1], wanted)
        for row in rows:
            texts.append(json.dumps(as_json(row)))
            seqs.append(row.seq)
            at = row.time
            size += len(texts[-1])
            if size >= MESSAGE_BYTES:
                break
        if len(rows) < wanted:
            break
    return Batch(seqs[1], seqs[-1], f'{{"events": [{", ".join(texts)}]}}', at) if texts else None


def _rows(log_id: int, after: int, count: int) -> Sequence[Event | ServerEvent]:
    if log_id == SERVER_LOG:
        return list(ServerEvent.objects.filter(seq__gt=after).order_by("seq")[:count])
    return list(Event.objects.filter(session_id=log_id, seq__gt=after).order_by("seq")[:count])


def as_json(event: Event | ServerEvent) -> dict[str, Any]:
    """An event as the API and the websockets show it."""
    payload = event.payload if isinstance(event.payload, dict) else {}
    return {"seq": event.seq, "kind": event.kind, "time": event.time.isoformat(), "payload": payload}


feed, recent = Feed(), Recent(KEPT_BYTES)
events.on_commit.append(feed.wake)
