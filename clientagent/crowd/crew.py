"""The worker processes, as the threads of the clients use them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from multiprocessing.connection import Connection
from typing import Any

from clientagent.crowd import parts
from clientagent.crowd.lending import Lending
from clientagent.crowd.wire import Beginning, Done, Forget, Fork, Load, Order, Steps, Stop, Stopped, Undone
from clientagent.data import MOST_READ, Stamp
from clientagent.errors import Failed
from clientagent.hands import Job, P, T, Watch
from clientagent.settings import Settings
from clientagent.work import Work
from federation.fl import workloads
from federation.fl.workloads.workload import Phase

LIVES = 3  # workers that one job may cost
LOOK_SECONDS = 0.25  # between two looks at whether everybody is to leave, while nothing arrives
END_SECONDS = 5.0
NURSERY = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from clientagent.crowd.nursery import main; main(int(sys.argv[2]))"
)
GONE = (EOFError, OSError)

Needs = tuple[str, Mapping[str, Any]] | None
"""The workload and the options whose data a job reads."""


class Lost(Exception):
    """The worker, or the nursery, ended by itself."""


@dataclass(slots=True)
class Worker:
    pid: int
    line: Connection
    generation: int  # of the nursery's data when it was forked


class Nursery:
    """The process that forks workers, started again if it ended. For one thread at a time."""

    def __init__(self, settings: Settings, clients: int, leaving: threading.Event) -> None:
        self._leaving = leaving
        self._beginning = Beginning(settings, clients)
        self._process: subprocess.Popen[bytes] | None = None
        self._door: socket.socket | None = None
        self._line: Connection | None = None
        self._loaded: dict[str, int] = {}  # data, and the generation of workers that has them
        self.generation = 0

    def has(self, workload: str, options: Mapping[str, Any]) -> int:
        """Have data loaded. Returns the first generation of workers that has them."""
        key = parts.key_of(workload, options)
        if key not in self._loaded:
            while len(self._loaded) >= MOST_READ:  # as the nursery does
                del self._loaded[next(iter(self._loaded))]
            self._ask(Load(workload, options))
            self.generation += 1
            self._loaded[key] = self.generation
        return self._loaded[key]

    def forget(self) -> None:
        """Read all data again: the files changed."""
        self._loaded.clear()
        self.generation += 1
        self._tell(Forget())

    def fork(self) -> Worker:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            pid = self._ask(Fork(), theirs)
            return Worker(pid, Connection(ours.detach()), self.generation)

    def close(self) -> None:
        """End it, and with it all workers."""
        for each in (self._line, self._door):
            if each is not None:
                each.close()
        if self._process is not None:
            try:
                self._process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:  # it reads data
                self._process.kill()
                self._process.wait()
        self._process = self._line = self._door = None
        self._loaded.clear()

    def _ask(self, message: Load | Fork, *attached: socket.socket) -> Any:
        """Its answer. One that ended since it was asked last is started again. Raises Lost."""
        with contextlib.suppress(Lost):
            return self._ask_once(message, *attached)
        return self._ask_once(message, *attached)

    def _ask_once(self, message: Load | Fork, *attached: socket.socket) -> Any:
        self._tell(message, *attached)
        with self._or_lost():
            assert self._line is not None
            wait_for(self._line, self._leaving)
            return self._line.recv()

    def _tell(self, message: Load | Fork | Forget, *attached: socket.socket) -> None:
        if self._process is None:
            self._start()
        with self._or_lost():
            assert self._line is not None and self._door is not None
            self._line.send(message)
            if attached:
                socket.send_fds(self._door, [b"+"], [each.fileno() for each in attached])

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            words = [sys.executable, "-c", NURSERY, json.dumps(sys.path), str(theirs.fileno())]
            self._process = subprocess.Popen(words, pass_fds=(theirs.fileno(),), stdin=subprocess.DEVNULL)
        self._door, self._line = ours, Connection(os.dup(ours.fileno()))
        self._line.send(self._beginning)

    @contextlib.contextmanager
    def _or_lost(self) -> Iterator[None]:
        try:
            yield
        except GONE as error:
            self.close()
            raise Lost from error


class Slot:
    """Where a worker is, or will be."""

    worker: Worker | None = None

    def lose(self) -> None:
        """End the worker, whatever it does."""
        worker, self.worker = self.worker, None
        if worker is not None:
            worker.line.close()
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)


class Crew:
    """Does jobs in `count` worker processes, in the order in which they are asked for. Threads share it."""

    def __init__(self, settings: Settings, clients: int, count: int, leaving: threading.Event) -> None:
        self._settings = settings
        self._leaving = leaving
        self._slots = Lending([Slot() for _ in range(count)])
        self._nursery = Nursery(settings, clients, leaving)
        self._lock = threading.Lock()  # of the nursery
        self._stamp = Stamp(settings.data)
        self.changes = 0  # of the files of --data

    def of(self, client: int, say: Callable[[str], None]) -> CrewHands:
        return CrewHands(self, client, say)

    def do(self, order: Order, watch: Watch, needs: Needs) -> Any:
        """What the job returns. A job whose worker ended is done again by another one. Raises Closed."""
        for _ in range(LIVES):
            watch.waits()
            with self._slots.one() as slot, contextlib.suppress(Lost):
                worker = self._worker(slot, needs)
                watch.begins()
                return self._follow(slot, worker, watch, order)
        raise Failed(f"The worker process ended {LIVES} times in the middle of this work. Is there enough memory?")

    def close(self) -> None:
        """Give out no more workers."""
        self._slots.close()

    def end(self) -> None:
        with self._lock:
            self._nursery.close()

    def _worker(self, slot: Slot, needs: Needs) -> Worker:
        """One that has the data. Raises Lost."""
        with self._lock:
            if self._leaving.is_set():
                raise KeyboardInterrupt
            if self._stamp.has_changed():
                self.changes += 1
                self._nursery.forget()
            least = self._nursery.has(*needs) if needs else 0
            if slot.worker is not None and slot.worker.generation < least:
                slot.lose()
            if slot.worker is None:
                slot.worker = self._nursery.fork()
            return slot.worker

    def _follow(self, slot: Slot, worker: Worker, watch: Watch, order: Order) -> Any:
        try:
            worker.line.send(order)
            return self._result(worker, watch)
        except GONE as error:
            slot.lose()
            raise Lost from error
        except KeyboardInterrupt:  # it may be in a step that takes long
            slot.lose()
            raise

    def _result(self, worker: Worker, watch: Watch) -> Any:
        unwanted: Exception | None = None  # why the job is no longer needed
        while True:
            wait_for(worker.line, self._leaving)
            match worker.line.recv():
                case Steps(steps) if unwanted is None:
                    try:
                        for step in steps:
                            watch.note(step.phase, step.step, step.total, step.metrics, step.time)
                    except Exception as error:
                        unwanted = error
                        worker.line.send(Stop())
                case Steps():
                    pass
                case _ if unwanted is not None:
                    raise unwanted
                case Done(value):
                    return value
                case Undone(sentence, trace):
                    raise Undoable(sentence, trace)
                case Stopped():
                    raise workloads.Stopped


def wait_for(line: Connection, leaving: threading.Event) -> None:
    """Wait until something arrives. Raises KeyboardInterrupt when everybody is to leave."""
    while not line.poll(LOOK_SECONDS):
        if leaving.is_set():
            raise KeyboardInterrupt


class Undoable(Failed):
    """The job failed in its worker. trace: where, of an error that nobody foresaw; else empty."""

    def __init__(self, sentence: str, trace: str) -> None:
        super().__init__(sentence)
        self.trace = trace


class CrewHands:
    """One client's hands: the crew's, with the client's data. say: what nobody foresaw is said there in full."""

    def __init__(self, crew: Crew, client: int, say: Callable[[str], None]) -> None:
        self._crew, self._client, self._say = crew, client, say

    def do(self, job: Job[P, T], watch: Watch, *args: P.args, **kwargs: P.kwargs) -> T:
        needs = next(((each.workload, each.options) for each in args if isinstance(each, Work)), None)
        return self.with_data(needs, job, watch, *args, **kwargs)

    def with_data(self, needs: Needs, job: Job[P, T], watch: Watch, *args: P.args, **kwargs: P.kwargs) -> T:
        """Do a job in a worker that has these data in memory."""
        try:
            made: T = self._crew.do(Order(self._client, job, args, kwargs), watch, needs)
        except Undoable as error:
            if error.trace:
                self._say(error.trace)
            raise
        return made


class Unwatched:
    """For a job whose steps nobody follows."""

    def __call__(self, phase: Phase, step: int, total: int, metrics: Mapping[str, float]) -> bool:
        return True

    def note(self, phase: Phase, step: int, total: int, metrics: Mapping[str, float], time: datetime) -> None: ...

    def waits(self) -> None: ...

    def begins(self) -> None: ...


class CrowdData:
    """What an agent asks of its data, answered by the crew."""

    def __init__(self, crew: Crew, hands: CrewHands, workload: str) -> None:
        self._crew, self._hands, self._workload = crew, hands, workload
        self._seen = crew.changes

    def census(self, name: str) -> dict[str, Any]:
        """How many examples the client has, and of what. name: the client's, salts the fingerprint."""
        self._seen = self._crew.changes
        return self._hands.with_data((self._workload, {}), parts.census, Unwatched(), self._workload, name)

    def take_change(self) -> bool:
        """Whether files of --data changed since the last call, or since the data were counted."""
        before, self._seen = self._seen, self._crew.changes
        return before != self._seen

    def take_notes(self) -> list[str]:
        """None: the workers read the data, which many clients share."""
        return []
