"""Two of everything behind nginx, on PostgreSQL with a broker: restarted one after another, and killed."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event

import pytest
import requests

from federation.killpoints import Point
from tests.e2e import nginx
from tests.e2e.broker import Broker, Database
from tests.e2e.outcome import ENV as PARTS
from tests.e2e.outcome import NAMES, Outcome, outcome, settings, start
from tests.e2e.stack import Stack, daphne, free_port, running, until

pytestmark = pytest.mark.skipif(nginx.NGINX is None, reason="nginx is not installed")
CELERY = ["-m", "celery", "-A", "flsite"]
WORKER = [*CELERY, "worker", "--concurrency", "1", "--without-gossip", "--without-mingle", "-Q", "federation"]
WEBS, WORKERS, BEATS = ("web", "other web"), ("worker", "other worker"), ("beat", "other beat")
AWAY = ("does not answer", "Still no answer")


@dataclass
class Pairs:
    """direct: the addresses of the web processes, which nginx alone uses otherwise."""

    stack: Stack
    direct: Mapping[str, str]

    def ready(self, name: str) -> None:
        """Start a process. Where it is a web process, wait until it answers."""
        self.stack.start_only(name)
        if url := self.direct.get(name):
            until(lambda: requests.get(f"{url}/readyz", timeout=5).ok, why=f"{name}, started again")

    def restart(self, name: str) -> None:
        process = self.stack.running.pop(name)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, f"{name} ended badly; logs are in {self.stack.folder}"
        self.ready(name)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, database: Database, broker: Broker) -> Iterator[Pairs]:
    """Agents that reach both web processes by nginx alone."""
    other = free_port()
    services = {
        "other web": daphne(other),
        "worker": [*WORKER, "--hostname", "one@%h"],
        "other worker": [*WORKER, "--hostname", "two@%h"],
        "beat": [*CELERY, "beat"],
        "other beat": [*CELERY, "beat"],
    }
    env = {"DATABASE_URL": database.url, "REDIS_URL": f"redis://127.0.0.1:{broker.port}/0"}
    folder = tmp_path_factory.mktemp("pairs")
    with running(folder, env=env | PARTS, services=services, killable=True) as stack:
        direct = {"web": stack.url, "other web": f"http://127.0.0.1:{other}"}
        for url in direct.values():
            until(lambda url=url: requests.get(f"{url}/readyz", timeout=5).ok, why=url)
        with nginx.before(stack, other=other) as stack.url:
            for name in NAMES:
                stack.agent(name, "--workload", "synthetic")
            stack.online(len(NAMES))
            yield Pairs(stack, direct)


@pytest.fixture(scope="module")
def undisturbed(pairs: Pairs) -> Outcome:
    return outcome(pairs.stack, pairs.stack.session(**settings()))


def probe(stack: Stack, over: Event) -> list[str]:
    """What was wrong with answers that were asked for all the time."""
    wrong = []
    with requests.Session() as http:
        http.headers.update(stack.http.headers)
        while not over.wait(0.05):
            for path in ("/healthz", "/readyz", "/api/v1/sessions"):
                try:
                    answer = http.get(stack.url + path, timeout=30)
                except requests.RequestException as error:
                    wrong.append(f"{path}: {error}")
                else:
                    if not answer.ok:
                        wrong.append(f"{path}: {answer.status_code} {answer.text[:100]}")
    return wrong


def test_each_is_restarted_in_its_turn_and_nobody_notices(pairs: Pairs):
    stack = pairs.stack
    before = {name: len((stack.folder / f"{name}.log").read_text()) for name in NAMES}
    session = stack.session(**settings() | {"rounds": 10_000})
    over = Event()
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(probe, stack, over)
        try:
            for name in (*WEBS, *WORKERS, *BEATS, *WEBS):
                done = stack.get(f"/sessions/{session}")["completed_rounds"]
                pairs.restart(name)
                until(lambda done=done: stack.get(f"/sessions/{session}")["completed_rounds"] > done + 2, why=name)
        finally:
            over.set()
        assert asked.result() == []
    assert stack.post(f"/sessions/{session}/cancel").status_code == 200
    for name in NAMES:
        said = (stack.folder / f"{name}.log").read_text()[before[name] :]
        assert not any(words in said for words in AWAY), said[-2000:]
    events = stack.events(session)
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert not [event for event in events if event["kind"] in ("round.failed", "seat.failed")]
    reports = [event["payload"]["participation"] for event in events if event["kind"] == "update.received"]
    made = [event for event in events if event["kind"] == "round.completed"]
    assert len(reports) == len(set(reports)) and len(made) * 3 <= len(reports) <= len(made) * 3 + 3


@pytest.mark.parametrize(
    ("names", "point"),
    [
        (WEBS, Point.UPDATE_STORED),
        (WEBS, Point.UPDATE_ACCEPTED),
        (WORKERS, Point.HALF_AGGREGATED),
        (WORKERS, Point.PUBLISHED),
    ],
    ids=str,
)
def test_whoever_comes_to_a_point_first_is_killed_there(
    pairs: Pairs, undisturbed: Outcome, names: tuple[str, str], point: Point
):
    stack = pairs.stack
    for name in names:
        stack.kill_at(name, point)
    session = stack.session(start=False, **settings())
    start(stack, session)
    files = {name: stack.folder / f"{name}.kill" for name in names}
    until(lambda: any(not file.exists() for file in files.values()), why="a death")
    for name, file in files.items():
        if not file.exists():
            stack.kill(name)
            pairs.ready(name)
        else:
            with contextlib.suppress(FileNotFoundError):  # the other one came to the point meanwhile
                file.unlink()
    for name in names:
        if stack.running[name].poll() is not None:
            stack.running.pop(name)
            pairs.ready(name)
    assert outcome(stack, session) == undisturbed
