"""Jobs are done by worker processes, and done again where one was killed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from clientagent.crowd.crew import Crew, CrewHands, CrowdData, Unwatched
from clientagent.errors import Dropped, Failed
from clientagent.settings import Settings
from tests.clientagent.crowd.jobs import deadly, foreseen, in_steps, unforeseen
from tests.e2e.stack import until


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    made = Crew(Settings(workload="synthetic"), 4, 1, threading.Event())
    yield made
    made.end()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def hands(crew: Crew, said: list[str]) -> CrewHands:
    return crew.of(1, said.append)


class Noting(Unwatched):
    """Keeps the steps; raises at one of them if it is told to."""

    def __init__(self, raises_at: int = 0, error: BaseException | None = None) -> None:
        self.steps: list[int] = []
        self.times: list[datetime] = []
        self._raises_at, self._error = raises_at, error

    def note(self, phase: str, step: int, total: int, metrics: Mapping[str, float], time: datetime) -> None:
        self.steps.append(step)
        self.times.append(time)
        if self._error is not None and step >= self._raises_at:
            raise self._error


def test_every_step_arrives_in_order_with_its_time(hands: CrewHands):
    watch = Noting()
    pid = hands.do(in_steps, watch, 50, 0.001)
    assert pid != os.getpid()
    assert watch.steps == list(range(1, 51)) and watch.times == sorted(watch.times)
    assert len(set(watch.times)) > 25, "the times of the steps, not of the messages"


def test_a_job_that_is_dropped_stops_and_its_worker_does_the_next_one(hands: CrewHands):
    pid = hands.do(in_steps, Unwatched(), 1, 0.0)
    with pytest.raises(Dropped):
        hands.do(in_steps, Noting(3, Dropped("no longer needed")), 100_000, 0.01)
    assert hands.do(in_steps, Unwatched(), 2, 0.0) == pid


def test_a_job_whose_worker_was_killed_is_done_again(hands: CrewHands, tmp_path: Path):
    assert hands.do(deadly, Unwatched(), tmp_path / "mark", 2) == "after 2"


def test_a_job_that_kills_every_worker_fails(hands: CrewHands, tmp_path: Path):
    with pytest.raises(Failed, match="The worker process ended 3 times in the middle of this work"):
        hands.do(deadly, Unwatched(), tmp_path / "mark", 99)
    assert hands.do(in_steps, Unwatched(), 1, 0.0)


def test_a_failure_comes_with_its_sentence_and_what_nobody_foresaw_in_full(hands: CrewHands, said: list[str]):
    with pytest.raises(Failed, match=r"^The data are of another kind\.$"):
        hands.do(foreseen, Unwatched())
    assert said == []
    with pytest.raises(Failed, match="^ZeroDivisionError: nobody thought of this$"):
        hands.do(unforeseen, Unwatched())
    assert "in unforeseen" in said[0]


def test_workers_come_back_after_their_nursery_was_killed(crew: Crew, hands: CrewHands):
    worker = psutil.Process(hands.do(in_steps, Unwatched(), 1, 0.0))
    nursery = worker.parent()
    assert nursery is not None and nursery.ppid() == os.getpid()
    nursery.kill()
    until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, why="the worker's end")
    assert hands.do(in_steps, Unwatched(), 1, 0.0) != worker.pid


def test_whoever_leaves_does_not_wait_for_a_long_step():
    leaving = threading.Event()
    crew = Crew(Settings(workload="synthetic"), 1, 1, leaving)
    try:
        threading.Timer(0.3, leaving.set).start()
        with pytest.raises(KeyboardInterrupt):
            crew.of(1, print).do(in_steps, Unwatched(), 1, 600.0)
    finally:
        crew.end()


def test_data_that_change_are_read_again_and_told(tmp_path: Path):
    (tmp_path / "data").write_text("first")
    crew = Crew(Settings(workload="digits", data=tmp_path), 4, 1, threading.Event())
    try:
        hands = crew.of(1, print)
        data = CrowdData(crew, hands, "synthetic")
        assert data.census("sim-1") == {} and not data.take_change()
        pid = hands.with_data(("synthetic", {}), in_steps, Unwatched(), 1, 0.0)
        assert hands.with_data(("synthetic", {}), in_steps, Unwatched(), 1, 0.0) == pid
        (tmp_path / "data").write_text("another")
        assert hands.with_data(("synthetic", {}), in_steps, Unwatched(), 1, 0.0) != pid, "it had the old data"
        assert data.take_change() and not data.take_change()
    finally:
        crew.end()
