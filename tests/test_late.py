"""The proxy that makes a benchmark's database answer later changes nothing but the time."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.late import answering_later

LATE = 0.05
LARGE = bytes(range(256)) * 4096


@pytest.fixture
def echo() -> Iterator[Path]:
    """A Unix socket that says again what it is told, until the caller ends."""
    with tempfile.TemporaryDirectory(prefix="fl-") as folder, socket.socket(socket.AF_UNIX) as door:
        door.bind(f"{folder}/echo")  # a short path, as those of sockets must be
        door.listen()
        threading.Thread(target=serve, args=(door,), daemon=True).start()
        yield Path(folder, "echo")


def serve(door: socket.socket) -> None:
    while True:
        try:
            line = door.accept()[0]
        except OSError:
            return
        threading.Thread(target=answer, args=(line,), daemon=True).start()


def answer(line: socket.socket) -> None:
    with line:
        while data := line.recv(1 << 16):
            line.sendall(data)


def test_answers_are_late_and_whole(echo: Path) -> None:
    with answering_later(echo, LATE) as port, socket.create_connection(("127.0.0.1", port), 10) as line:
        for _ in range(3):
            began = time.monotonic()
            line.sendall(b"well?")
            assert line.recv(100) == b"well?"
            assert time.monotonic() - began >= LATE
        threading.Thread(target=lambda: (line.sendall(LARGE), line.shutdown(socket.SHUT_WR)), daemon=True).start()
        assert b"".join(iter(lambda: line.recv(1 << 16), b"")) == LARGE


def test_what_follows_does_not_wait_for_what_was_before(echo: Path) -> None:
    with answering_later(echo, LATE) as port, socket.create_connection(("127.0.0.1", port), 10) as line:
        began = time.monotonic()
        for _ in range(40):
            line.sendall(b"x")
            time.sleep(0.005)
        got = b""
        while len(got) < 40:
            got += line.recv(100)
        assert LATE < time.monotonic() - began < 40 * LATE
