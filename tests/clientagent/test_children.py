"""What processes beside this one take: of real ones, whose memory and work are known."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic, sleep

import pytest

from clientagent import children, memory
from clientagent.children import Children
from clientagent.errors import Failed

MB = 10**6
pytestmark = pytest.mark.skipif(not memory.IS_KNOWN, reason="only Linux tells it")


@contextmanager
def child(work: Callable[[], object]) -> Iterator[int]:
    """A forked process that has done this work, and lives."""
    reads, writes = os.pipe()
    if not (pid := os.fork()):
        kept = work()
        os.write(writes, b"x")
        sleep(60)
        os._exit(bool(kept))
    try:
        os.read(reads, 1)
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(reads)
        os.close(writes)


def filled(megabytes: int) -> bytearray:
    return bytearray(os.urandom(1024) * (megabytes * MB // 1024))


def burnt(seconds: float) -> None:
    until = monotonic() + 20
    while sum(os.times()[:2]) < seconds and monotonic() < until:
        sum(range(10_000))


def test_memory_is_what_they_have_for_themselves():
    mine = filled(80)  # which a child shares until it writes there
    before = Children().memory()
    with child(lambda: filled(100)):
        found = Children().memory() - before
    assert 95 * MB < found < 140 * MB and len(mine) > 79 * MB
    assert Children().memory() < before + MB


def test_their_work_counts_while_they_live_and_afterwards():
    with child(lambda: burnt(0.5)):
        living = Children()
        found = living.busy()
        assert found > 0.4
    assert living.busy() >= found - 0.05


def test_memory_is_looked_at_again_only_when_a_look_is_cheap_or_processes_changed(monkeypatch):
    looks, now = [], [100.0]

    def private(pid: int) -> int:
        looks.append(pid)
        now[0] += 0.01
        return 7

    pids = [{1}]
    monkeypatch.setattr(children, "_private", private)
    monkeypatch.setattr(children, "_pids", lambda: iter(pids[0]))
    found = Children(clock=lambda: now[0])
    assert found.memory() == found.memory() == 7 and looks == [1]
    now[0] += 0.01 / children.SHARE
    assert found.memory() == 7 and looks == [1, 1]
    pids[0] = {1, 2}
    assert found.memory() == 14 and len(looks) == 4


def test_of_a_process_that_ended_nothing_is_told():
    assert (children._private(2**22 + 1), children._seconds(2**22 + 1)) == (0, 0.0)


def test_memory_of_processes_that_read_counts_for_the_limit():
    held = memory.resident() / MB
    memory.require(int(held + 100), 0)
    with pytest.raises(Failed, match=r"--max-memory\): the agent has .* MB, 200 MB of it in processes that read files"):
        memory.require(int(held + 100), 200 * MB)
