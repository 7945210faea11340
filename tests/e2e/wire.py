"""A wire between a client and the server that a test can cut, reset, slow down and let swallow what it carries."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

PIECE_BYTES = 1 << 16
BUFFER_BYTES = 1 << 16  # the kernel's, small: who sends notices a slow wire at once
SETTLE_SECONDS = 0.3  # for the reader to take what it got: a reset throws away what its kernel still has
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close by RST


class Way(StrEnum):
    UP = "up"  # to the server
    DOWN = "down"


class Kind(StrEnum):
    CUT = "cut"  # both ends see an orderly end
    RESET = "reset"  # both ends see a reset
    HOLE = "hole"  # nothing arrives any more, and nobody is told


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to a connection once it has carried `after` bytes in one direction."""

    kind: Kind
    way: Way
    after: int
    always: bool = False  # to every connection, else to the first that comes so far


class Wire:
    """Passes TCP connections on to a port.

    carried: bytes passed on so far, by direction.
    faults: those that wait for their byte. Each one that strikes is counted in `struck`.
    bytes_per_second, delay_seconds: of each connection and direction; 0 is as fast as it can.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(128)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.carried: Counter[Way] = Counter()
        self.struck: Counter[Kind] = Counter()
        self.faults: list[Fault] = []
        self.bytes_per_second, self.delay_seconds = 0, 0.0
        self._down = False
        self._lock = threading.Lock()
        self._open: set[Line] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> int:
        """End what is open; new connections go through. Returns how many were cut."""
        return self._end(Kind.CUT)

    def reset(self) -> int:
        return self._end(Kind.RESET)

    def swallow(self) -> int:
        """Let what is open carry nothing any more, without a word to anybody."""
        return self._end(Kind.HOLE)

    def down(self) -> None:
        """Reset what is open and every new connection, until `up`."""
        self._down = True
        self.reset()

    def up(self) -> None:
        self._down = False

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _end(self, how: Kind) -> int:
        lines = list(self._open)
        for line in lines:
            line.end(how)
        return len(lines)

    def strike(self, way: Way, before: int, after: int) -> Fault | None:
        """The fault that is due for a connection that goes from so many bytes to so many."""
        with self._lock:
            due = [f for f in self.faults if f.way == way and before <= f.after < after]
            if not due:
                return None
            self.struck[due[0].kind] += 1
            if not due[0].always:
                self.faults.remove(due[0])
            return due[0]

    def count(self, way: Way, number: int) -> None:
        with self._lock:
            self.carried[way] += number

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._to)) as far:
            line = Line(self, near, far)
            self._open.add(line)
            try:
                if self._down:
                    line.end(Kind.RESET)
                line.carry()
            finally:
                self._open.discard(line)


class Line:
    """One connection."""

    def __init__(self, wire: Wire, near: socket.socket, far: socket.socket) -> None:
        self._wire, self._near, self._far = wire, near, far
        self._swallows = False

    def carry(self) -> None:
        back = threading.Thread(target=self._pass_on, args=(Way.DOWN, self._far, self._near), daemon=True)
        back.start()
        self._pass_on(Way.UP, self._near, self._far)
        back.join()

    def end(self, how: Kind) -> None:
        if how is Kind.HOLE:
            self._swallows = True
            return
        for end in (self._near, self._far):
            with contextlib.suppress(OSError):
                if how is Kind.RESET:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    end.shutdown(socket.SHUT_RD)  # wakes the thread; closing then sends the reset
                else:
                    end.shutdown(socket.SHUT_RDWR)

    def _pass_on(self, way: Way, source: socket.socket, target: socket.socket) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(self._piece_bytes()):
                fault = self._wire.strike(way, passed, passed + len(data))
                if fault:
                    data = data[: fault.after - passed]
                self._wait(len(data))
                if not self._swallows:
                    target.sendall(data)
                    passed += len(data)
                    self._wire.count(way, len(data))
                if fault:
                    time.sleep(SETTLE_SECONDS)
                    self.end(fault.kind)
                    if fault.kind is not Kind.HOLE:
                        break  # what the kernel still has must not follow: it would leave a gap
        for end in (source, target):
            with contextlib.suppress(OSError):
                if not end.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER):
                    end.shutdown(socket.SHUT_RDWR)
                else:
                    end.shutdown(socket.SHUT_RD)

    def _piece_bytes(self) -> int:
        return (
            min(PIECE_BYTES, max(1, self._wire.bytes_per_second // 20)) if self._wire.bytes_per_second else PIECE_BYTES
        )

    def _wait(self, number: int) -> None:
        rate = self._wire.bytes_per_second
        if seconds := self._wire.delay_seconds + (number / rate if rate else 0):
            time.sleep(seconds)


@contextlib.contextmanager
def wire_to(port: int) -> Iterator[Wire]:
    wire = Wire(port)
    try:
        yield wire
    finally:
        wire.close()
