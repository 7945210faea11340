"""An agent that trains on image files, read and changed at random by processes of its own, is killed: same model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from federation.killpoints import Point
from tests.e2e.outcome import ENV, Outcome, outcome, start
from tests.e2e.stack import Stack, running, until

NAMES = ("north", "south")
IMAGES = {"classes": "dark,light", "size": 16, "augmentation": "flip_shift"}
SESSION: dict[str, Any] = {
    "workload": {"name": "images", "options": IMAGES},
    "train": {"epochs": 2, "batch_size": 4, "learning_rate": 0.05},
    **{"rounds": 2, "seed": 7, "quorum": 2, "cohort_size": 2},
}
# The point, which time it is reached, and whether images were read before, in the order in which a round reaches them.
AGENT = [
    (Point.DOWNLOAD_HALF_READ, 1, False),
    (Point.TRAINING, 4, True),
    (Point.TRAINED, 1, True),
    (Point.UPDATE_KEPT, 1, True),
    (Point.PART_HALF_SENT, 1, False),  # an update that was kept is sent without training again
    (Point.REPORTED, 1, False),
    (Point.TRAINING, 6, True),  # the second round
    (Point.UPDATE_KEPT, 1, True),
]
SERVER = [
    (Point.PART_HALF_WRITTEN, 2),
    (Point.UPDATE_STORED, 1),
    (Point.AGGREGATION_CLAIMED, 1),
    (Point.HALF_AGGREGATED, 1),
    (Point.AGGREGATED, 1),
    (Point.PUBLISHED, 1),
]


def pictures(folder: Path, seed: int, count: int = 16) -> Path:
    """Noise, dark in one class and light in the other."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        inner = folder / ("light" if number % 2 else "dark")
        inner.mkdir(parents=True, exist_ok=True)
        values = rng.integers(0, 100, (16, 16, 3), dtype=np.uint8) + np.uint8(150 * (number % 2))
        Image.fromarray(values).save(inner / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("images")
    with running(folder, env=ENV | {"FL_CLIENT_LOADERS": "2"}, killable=True) as stack:
        for seed, name in enumerate(NAMES):
            pictures(folder / "data" / name, seed)
            agent(stack, name)
        stack.online(len(NAMES))
        yield stack


def agent(stack: Stack, name: str) -> psutil.Process:
    started = stack.agent(name, "--data", str(stack.folder / "data" / name), "--workload", "images")
    return psutil.Process(started.pid)


@pytest.fixture(scope="module")
def undisturbed(site: Stack) -> Outcome:
    return outcome(site, site.session(**SESSION))


def test_an_agent_with_processes_that_read_is_killed_at_every_point(site: Stack, undisturbed: Outcome) -> None:
    session = site.session(start=False, **SESSION)
    for number, (point, time, reads) in enumerate(AGENT):
        site.kill_at("south", point, time=time)
        agent(site, "south") if number else start(site, session)
        readers = children(site, "south")
        site.died("south")
        assert bool(readers) == reads, f"at {point} the agent that was killed had {len(readers)} processes that read"
        all_end(readers)
    agent(site, "south")
    assert outcome(site, session) == undisturbed
    assert len(set(undisturbed.models)) == 3


def test_the_server_of_agents_with_processes_that_read_is_killed(site: Stack, undisturbed: Outcome) -> None:
    session = site.session(start=False, **SESSION)
    for number, (point, time) in enumerate(SERVER):
        site.kill_at("web", point, time=time)
        site.start_only("web") if number else start(site, session)
        site.died("web")
    site.start("web")
    assert outcome(site, session) == undisturbed


def children(stack: Stack, name: str) -> list[psutil.Process]:
    """The processes that an agent has begun, seen at some moment before it dies."""
    found: dict[int, psutil.Process] = {}
    process = psutil.Process(stack.agents[name].pid)

    def seen() -> bool:
        try:
            found.update({one.pid: one for one in process.children(recursive=True)})
        except psutil.NoSuchProcess:
            return True
        return process.status() == psutil.STATUS_ZOMBIE

    until(seen, seconds=60, every=0.02, why=f"{name} dies")
    return list(found.values())


def all_end(processes: list[psutil.Process]) -> None:
    until(lambda: not any(map(alive, processes)), seconds=30, why="readers of a killed agent end")


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
