"""Agents that train adapters beside a frozen transformer: what travels is small, and kills leave the same model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from federation.killpoints import Point
from tests.e2e.outcome import outcome, start
from tests.e2e.stack import Stack, running

NAMES = ("north", "south")
TEXTS = {"network": "transformer", "trained": "lora", "classes": "ham,spam", "length": 8, "width": 16, "rank": 2}
SESSION: dict[str, Any] = {
    "workload": {"name": "text", "options": TEXTS},
    "train": {"epochs": 2, "batch_size": 4, "learning_rate": 0.3},
    **{"rounds": 2, "seed": 7, "quorum": 2, "cohort_size": 2},
}
PARAMETERS = 2 * 2 * (64 + 32 + 80 + 80) + 34  # of two layers' four matrices (inputs + outputs) * rank, and of the last
MOST_BYTES = 4 * PARAMETERS + 4096  # with names; the frozen network has 600 kB


def texts(folder: Path, which: int) -> None:
    for number in range(16):
        inner = folder / ("spam" if number % 2 else "ham")
        inner.mkdir(parents=True, exist_ok=True)
        words = "win a great prize now" if number % 2 else "see you at lunch then"
        (inner / f"{number}.txt").write_text(f"{words} {number} {which}")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("lora"), killable=True) as stack:
        for which, name in enumerate(NAMES):
            texts(stack.folder / "data" / name, which)
            agent(stack, name)
        stack.online(len(NAMES))
        yield stack


def agent(stack: Stack, name: str) -> None:
    stack.agent(name, "--data", str(stack.folder / "data" / name), "--workload", "text")


def test_kills_while_adapters_are_trained_leave_the_same_small_model(site: Stack) -> None:
    undisturbed = outcome(site, site.session(**SESSION))
    session = site.session(start=False, **SESSION)
    site.kill_at("south", Point.TRAINING, time=4)
    start(site, session)
    site.died("south")
    site.kill_at("south", Point.UPDATE_KEPT, time=2)
    agent(site, "south")
    site.died("south")
    agent(site, "south")
    assert outcome(site, session) == undisturbed
    assert len(set(undisturbed.models)) == 3
    sent = [json.loads(line) for line in (site.folder / "agents" / "south" / "sent.jsonl").read_text().splitlines()]
    sizes = {one["num_bytes"] for one in sent if one.get("kind") == "train"}
    assert len(sizes) == 1 and 4 * PARAMETERS < sizes.pop() < MOST_BYTES
