"""Agents that train adapters beside a frozen transformer: what travels is small, and kills leave the same model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from federation.fl import weights
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
FROZEN = SESSION | {"frozen": ["*.lora_a"]}  # FFA-LoRA
PARAMETERS = 2 * 2 * (64 + 32 + 80 + 80) + 34  # of two layers' four matrices (inputs + outputs) * rank, and of the last
UP = 2 * 2 * (48 + 16 + 64 + 16) + 34  # of these, what remains without the factors that are frozen
NAMED = 4096  # bytes for names; the frozen network has 600 kB


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


@pytest.mark.parametrize("settings, parameters", [(SESSION, PARAMETERS), (FROZEN, UP)], ids=["both", "frozen"])
def test_kills_while_adapters_are_trained_leave_the_same_small_model(
    site: Stack, settings: dict[str, Any], parameters: int
) -> None:
    before = len(sizes(site))
    undisturbed = outcome(site, site.session(**settings))
    session = site.session(start=False, **settings)
    site.kill_at("south", Point.TRAINING, time=4)
    start(site, session)
    site.died("south")
    site.kill_at("south", Point.UPDATE_KEPT, time=2)
    agent(site, "south")
    site.died("south")
    agent(site, "south")
    assert outcome(site, session) == undisturbed
    assert len(set(undisturbed.models)) == 3
    (size,) = set(sizes(site)[before:])
    assert 4 * parameters < size < 4 * parameters + NAMED
    first, *_, last = (model(site, digest) for digest in undisturbed.models)
    moved = {name for name in first if not np.array_equal(first[name], last[name])}
    adapters = {name for name in first if ".lora_" in name}
    still = {name for name in adapters if name.endswith("lora_a")} if "frozen" in settings else set()
    assert len(adapters) == 16 and moved & adapters == adapters - still


def sizes(site: Stack) -> list[int]:
    """Of the updates that the agent south sent."""
    record = site.folder / "agents" / "south" / "sent.jsonl"
    lines = record.read_text().splitlines() if record.exists() else []
    return [one["num_bytes"] for one in map(json.loads, lines) if one.get("kind") == "train"]


def model(site: Stack, digest: str) -> weights.Weights:
    (kept,) = site.folder.glob(f"weights/*/{digest}.safetensors")
    return weights.load(kept)
