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
from tests.e2e.outcome import outcome, start
from tests.e2e.stack import Stack, running, until

NAMES = ("north", "south")
IMAGES = {"classes": "dark,light", "size": 16, "augmentation": "flip_shift"}
SESSION: dict[str, Any] = {
    "workload": {"name": "images", "options": IMAGES},
    "train": {"epochs": 2, "batch_size": 4, "learning_rate": 0.05},
    **{"rounds": 2, "seed": 7, "quorum": 2, "cohort_size": 2},
}
KILLS = [(Point.TRAINING, 4), (Point.UPDATE_KEPT, 2)]  # in the first round while files are read, and in the second


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
    with running(folder, env={"FL_CLIENT_LOADERS": "2"}, killable=True) as stack:
        for seed, name in enumerate(NAMES):
            pictures(folder / "data" / name, seed)
            agent(stack, name)
        stack.online(len(NAMES))
        yield stack


def agent(stack: Stack, name: str) -> psutil.Process:
    started = stack.agent(name, "--data", str(stack.folder / "data" / name), "--workload", "images")
    return psutil.Process(started.pid)


def test_an_agent_with_processes_that_read_is_killed_at_every_point(site: Stack) -> None:
    undisturbed = outcome(site, site.session(**SESSION))
    session = site.session(start=False, **SESSION)
    first, *others = KILLS
    site.kill_at("south", first[0], time=first[1])
    start(site, session)
    for point, time in others:
        readers = children(site, "south")
        site.died("south")
        assert readers, "the agent that was killed had processes that read"
        all_end(readers)
        site.kill_at("south", point, time=time)
        agent(site, "south")
    site.died("south")
    agent(site, "south")
    assert outcome(site, session) == undisturbed
    assert len(set(undisturbed.models)) == 3


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
