"""Keeps what is known of foreign workloads up to date, in this process and for all others of the server."""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

from django.conf import settings

from federation import private
from federation.fl.workloads.foreign import Place
from federation.foreign import reading
from federation.foreign.declared import State, state_from_json

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0  # between two looks at the folder
READ_SECONDS = 0.5  # between two looks at the file that another process may have written


class Keeper:
    """The state as this process knows it. It is read from the file that the processes share, and made if need be."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state = State()
        self._stamp: tuple[int, int] | None = None  # of the file
        self._next_read = self._next_look = 0.0
        self._reading: threading.Thread | None = None

    def state(self) -> State:
        """What is known now. A folder that changed is read on another thread."""
        now = monotonic()
        if now < self._next_read:
            return self._state
        with self._lock:
            self._next_read = now + READ_SECONDS
            self._take_in()
            if now >= self._next_look:
                self._next_look = now + LOOK_SECONDS
                self._look()
        return self._state

    def read_now(self) -> State:
        """The state of the files as they are now, without waiting for another thread."""
        with self._lock:
            self._take_in()
            if (found := self._changed()) is not None:
                self._keep(reading.read(*found))
            return self._state

    def settle(self) -> State:
        """Wait for a folder that is being read. Then the state is that of its files."""
        self._next_read = self._next_look = 0.0
        self.state()
        if self._reading is not None:
            self._reading.join()
        return self._state

    def _changed(self) -> tuple[Sequence[Place], str] | None:
        """The places and their mark, if they are other ones than those that are known."""
        found = reading.places()
        mark = reading.mark(found)
        return (found, mark) if mark != self._state.mark and (found or self._state.mark) else None

    def _look(self) -> None:
        if self._reading is not None and self._reading.is_alive():
            return
        if (found := self._changed()) is not None:
            self._reading = threading.Thread(target=self._read, args=found, name="workloads", daemon=True)
            self._reading.start()

    def _read(self, found: Sequence[Place], mark: str) -> None:
        with _alone() as alone:
            if alone:  # else another process reads them, and writes the file
                state = reading.read(found, mark)
                with self._lock:
                    self._keep(state)

    def _keep(self, state: State) -> None:
        self._state = state
        for problem in state.problems:
            log.warning("no workload: %s", problem.sentence)
        try:
            _write(state)
        except OSError as error:
            log.warning("what foreign workloads declare cannot be kept: %s", error)

    def _take_in(self) -> None:
        """Read the file if it is another one than the last time."""
        with suppress(OSError):
            stat = _file().stat()
            stamp = (stat.st_mtime_ns, stat.st_ino)
            if stamp != self._stamp:
                self._state = _state_in(_file())  # may raise: then it is read the next time
                self._stamp = stamp


keeper = Keeper()


def _state_in(file: Path) -> State:
    """What a process wrote. A file of another release says nothing, so that it is made again."""
    try:
        return state_from_json(file.read_text())
    except (ValueError, KeyError, TypeError) as error:
        log.warning("what foreign workloads declare is read again: %s", error)
        return State()


def _write(state: State) -> None:
    private.make_folder(_file().parent)
    fresh = _file().with_suffix(f".{os.getpid()}.tmp")
    fresh.write_text(state.to_json())
    fresh.replace(_file())


def _file() -> Path:
    return Path(settings.FL_DATA_DIR) / "workloads.json"


@contextmanager
def _alone() -> Iterator[bool]:
    """Whether no other process of this machine reads the workloads; none begins to within the block."""
    handle = os.open(_file().with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield _locked(handle)
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
