"""Kill anything at any moment: the session ends with the same model, and everything was counted once.

The undisturbed run is made once; every other run must equal it byte for byte.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from federation.killpoints import Point
from tests.clientagent.test_process import OF_KINDS
from tests.e2e import warm
from tests.e2e.outcome import ENV, LARGE, NAMES, SMALL, Outcome, outcome, settings, start
from tests.e2e.stack import Stack, running, until

# The point, which time it is reached, and how large the model is.
SERVER = [
    (Point.INITIAL_STORED, 1, LARGE),
    (Point.EVENT_WRITTEN, 3, LARGE),
    (Point.EVENT_WRITTEN, 6, LARGE),
    (Point.EVENT_COMMITTED, 3, LARGE),
    (Point.EVENT_COMMITTED, 12, LARGE),
    (Point.DOWNLOAD_HALF_SENT, 2, LARGE),
    (Point.METRICS_HALF_WRITTEN, 2, LARGE),
    (Point.PART_HALF_WRITTEN, 6, LARGE),
    (Point.UPDATE_STORED, 2, LARGE),
    (Point.UPDATE_STORED, 2, SMALL),
    (Point.UPDATE_ACCEPTED, 3, LARGE),
    (Point.UPDATE_ACCEPTED, 3, SMALL),
    (Point.ANSWER_LOST, 5, LARGE),
    (Point.ANSWER_LOST, 5, SMALL),
    (Point.AGGREGATION_CLAIMED, 2, LARGE),
    (Point.HALF_AGGREGATED, 2, LARGE),
    (Point.AGGREGATED, 2, LARGE),
    (Point.PUBLISHED, 1, LARGE),
    (Point.PUBLISHED, 2, LARGE),
]
AGENT = [
    (Point.DOWNLOAD_HALF_READ, 1, LARGE),
    (Point.TRAINING, 3, LARGE),
    (Point.TRAINED, 1, LARGE),
    (Point.UPDATE_KEPT, 1, LARGE),
    (Point.PART_HALF_SENT, 2, LARGE),
    (Point.PART_HALF_SENT, 1, SMALL),
    (Point.REPORTED, 2, LARGE),
]
START = [Point.STARTING, Point.LEASES_FREED]
ENROLMENT = [Point.ENROLLED]
CARE = [Point.BACKUP_HALF_WRITTEN, Point.HALF_RESTORED, Point.GIVEN_UP]

COMPRESSED = {"rounds": 3, "compression": {"name": "topk", "options": {"fraction": 0.05}}}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("kill"), env=ENV, killable=True) as stack:
        for name in NAMES:
            stack.agent(name, "--workload", "synthetic")
        stack.online(len(NAMES))
        yield stack


@pytest.fixture(scope="module")
def undisturbed(site: Stack) -> dict[int, Outcome]:
    return {size: outcome(site, site.session(**settings(size))) for size in (LARGE, SMALL)}


@pytest.mark.parametrize(("point", "time", "size"), SERVER, ids=str)
def test_the_server_is_killed(site: Stack, undisturbed: dict[int, Outcome], point: Point, time: int, size: int):
    session = site.session(start=False, **settings(size))
    site.kill_at("web", point, time=time)
    start(site, session)
    site.died("web")
    site.start("web")
    assert outcome(site, session) == undisturbed[size]


@pytest.mark.parametrize("point", START)
def test_the_server_is_killed_while_it_starts(site: Stack, undisturbed: dict[int, Outcome], point: Point):
    session = site.session(start=False, **settings())
    start(site, session)
    until(lambda: site.get(f"/sessions/{session}")["completed_rounds"])
    site.kill("web")
    site.kill_at("web", point)
    site.start_only("web")
    site.died("web")
    site.start("web")
    assert outcome(site, session) == undisturbed[LARGE]


@pytest.mark.parametrize(("point", "time", "size"), AGENT, ids=str)
def test_an_agent_is_killed(site: Stack, undisturbed: dict[int, Outcome], point: Point, time: int, size: int):
    session = site.session(start=False, **settings(size))
    site.kill_at("south", point, time=time)
    start(site, session)
    site.died("south")
    site.agent("south", "--workload", "synthetic")
    assert outcome(site, session) == undisturbed[size]


def test_an_agent_is_killed_that_keeps_residuals(site: Stack):
    """In the second round before its update is kept, and in the third after."""
    undisturbed = outcome(site, site.session(**settings() | COMPRESSED))
    session = site.session(start=False, **settings() | COMPRESSED)
    site.kill_at("south", Point.TRAINED, time=2)
    start(site, session)
    site.died("south")
    site.kill_at("south", Point.UPDATE_KEPT, time=2)
    site.agent("south", "--workload", "synthetic")
    site.died("south")
    site.agent("south", "--workload", "synthetic")
    assert outcome(site, session) == undisturbed


@pytest.mark.parametrize("point", ENROLMENT)
def test_an_agent_is_killed_while_it_enrols(site: Stack, point: Point):
    site.kill_at("east", point)
    site.agent("east", "--workload", "synthetic")
    site.died("east")
    site.agent("east", "--workload", "synthetic", "--join", site.join_code)
    until(lambda: "Enrolled as east" in (site.folder / "east.log").read_text())
    names = [client["name"] for client in site.get("/clients")["items"]]
    assert sorted(names) == sorted([*NAMES, "east"])
    leaving = site.agents.pop("east")
    leaving.send_signal(signal.SIGINT)
    assert leaving.wait(20) == 0


def test_every_point_is_tested():
    assert {*START, *ENROLMENT, *CARE, *OF_KINDS, *(case[0] for case in SERVER + AGENT)} == set(Point)


def test_backup_and_restore_are_killed_and_done_again(site: Stack, undisturbed: dict[int, Outcome], tmp_path: Path):
    file, elsewhere = tmp_path / "fl.tar", {"FL_DATA_DIR": str(tmp_path / "elsewhere")}
    dies(site, Point.BACKUP_HALF_WRITTEN, "backup", str(file))
    assert not file.exists()
    site.manage("backup", str(file))
    assert "is whole" in site.manage("verify_backup", str(file))
    dies(site, Point.HALF_RESTORED, "restore", str(file), **elsewhere)
    assert "Restored: " in site.manage("restore", str(file), **elsewhere)
    assert "Every file is there" in site.manage("check_storage", **elsewhere)


def test_pruning_is_killed_and_done_again(site: Stack, undisturbed: dict[int, Outcome]):
    """The rows say that the updates are gone, the files are there still."""
    dies(site, Point.GIVEN_UP, "prune", FL_KEEP_UPDATES="1")
    before = len(list(site.folder.glob("weights/*/*.safetensors")))
    said = site.manage("prune", FL_KEEP_UPDATES="1")
    deleted = before - len(list(site.folder.glob("weights/*/*.safetensors")))
    assert deleted > 0 and f"{deleted} weight files are deleted" in said
    assert "Every file is there" in site.manage("check_storage")


def dies(site: Stack, point: Point, *words: str, **env: str) -> None:
    """`manage.py` with these words kills itself at the point."""
    file = site.folder / "command.kill"
    file.write_text(point)
    env = site.env | env | {"FL_KILL_FILE": str(file)}
    process = warm.start(["manage.py", *words], log=site.folder / "command.log", env=env)
    assert process.wait(60) == -signal.SIGKILL


def test_the_making_of_the_database_is_killed_again_and_again(tmp_path: Path):
    env = os.environ | {"FL_DATA_DIR": str(tmp_path), "DATABASE_URL": ""}
    migrate = ["manage.py", "migrate"]
    for applied in (1, 8, 15):
        process = warm.start(migrate, log=tmp_path / "log", env=env)
        until(lambda least=applied: migrations(tmp_path) >= least, every=0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for arguments in (migrate, [*migrate, "--check"], ["manage.py", "createinvitation"]):
        assert warm.start(arguments, log=tmp_path / "log", env=env).wait(60) == 0


def migrations(folder: Path) -> int:
    """How many are applied."""
    with (
        contextlib.suppress(sqlite3.OperationalError),
        contextlib.closing(sqlite3.connect(f"file:{folder}/db.sqlite3?mode=ro", uri=True)) as database,
    ):
        return database.execute("SELECT count(*) FROM django_migrations").fetchone()[0]
    return 0
