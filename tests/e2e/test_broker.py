"""PostgreSQL and a broker: the same code as separate web, worker and beat processes, and every one killed."""

from collections.abc import Iterator
from typing import Any

import pytest

from federation.killpoints import Point
from tests.e2e.broker import Broker, Database
from tests.e2e.outcome import ENV as PARTS
from tests.e2e.outcome import NAMES, Outcome, outcome, settings, start
from tests.e2e.stack import Stack, running, until
from tests.e2e.test_kill_buffered import TOGETHER
from tests.e2e.test_schedules import assert_each_counts_once

CELERY = ["-m", "celery", "-A", "flsite"]


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory, database: Database, broker: Broker) -> Iterator[Stack]:
    services = {
        "worker": [*CELERY, "worker", "--concurrency", "1", "--without-gossip", "--without-mingle", "-Q", "federation"],
        "beat": [*CELERY, "beat"],
        "other beat": [*CELERY, "beat"],
    }
    env = {"DATABASE_URL": database.url, "REDIS_URL": f"redis://127.0.0.1:{broker.port}/0"}
    with running(tmp_path_factory.mktemp("split"), env=env | PARTS, services=services, killable=True) as stack:
        for name in NAMES:
            stack.agent(name, "--workload", "synthetic")
        stack.online(len(NAMES))
        yield stack


@pytest.fixture(scope="module")
def undisturbed(split: Stack) -> Outcome:
    return outcome(split, split.session(**settings()))


KILLED = [
    ("web", Point.UPDATE_STORED),
    ("web", Point.UPDATE_ACCEPTED),
    ("worker", Point.HALF_AGGREGATED),
    ("worker", Point.PUBLISHED),
]


def killed(split: Stack, name: str, point: Point, change: dict[str, Any]) -> str:
    """Begin a session in which a process dies at a point and is started again."""
    split.kill_at(name, point)
    session = split.session(start=False, **settings() | change)
    start(split, session)
    if name == "worker":  # a child of it that does the tasks
        until(lambda: not (split.folder / "worker.kill").exists(), why="the worker's death")
        split.kill(name)
    else:
        split.died(name)
    split.start(name)
    return session


@pytest.mark.parametrize(("name", "point"), KILLED, ids=str)
def test_a_process_is_killed_at_a_point(split: Stack, undisturbed: Outcome, name: str, point: Point):
    assert outcome(split, killed(split, name, point, {})) == undisturbed


@pytest.mark.parametrize(("name", "point"), KILLED[1:3], ids=str)
def test_a_process_is_killed_in_a_buffered_session(split: Stack, name: str, point: Point):
    session = killed(split, name, point, TOGETHER)
    assert split.ended(session)["status"] == "completed"
    assert_each_counts_once(split, session)


def beats_that_led(stack: Stack) -> list[str]:
    return [name for name in ("beat", "other beat") if "this beat leads" in (stack.folder / f"{name}.log").read_text()]


def test_another_beat_takes_the_place_of_the_one_that_is_killed(split: Stack, undisturbed: Outcome):
    session = split.session(start=False, **settings())
    start(split, session)
    [leader] = until(lambda: beats_that_led(split), why="a beat that leads")
    split.kill(leader)
    until(lambda: len(beats_that_led(split)) == 2, seconds=30, why="the other beat")
    assert outcome(split, session) == undisturbed
    split.start(leader)


@pytest.mark.parametrize("name", ["web", "worker", "beat", "broker", "database"])
def test_a_process_is_killed_in_the_middle_of_a_session(
    split: Stack, broker: Broker, database: Database, undisturbed: Outcome, name: str
):
    session = split.session(start=False, **settings())
    start(split, session)
    until(lambda: split.get(f"/sessions/{session}")["completed_rounds"])
    keeper = {"broker": broker, "database": database}.get(name)
    if keeper:
        keeper.kill()
        keeper.start()
    else:
        split.kill(name)
        split.start(name)
    assert outcome(split, session) == undisturbed
