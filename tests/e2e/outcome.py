"""What a session left behind, to be compared with that of an undisturbed one."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from tests.e2e.stack import Stack, assert_nothing_counted_twice

NAMES = ("north", "south", "west")
ENV = {"FL_PART_BYTES": "262144", "FL_MAX_PUT_BYTES": "32768"}  # so that 600 kB travel in three parts
LARGE, SMALL = 150_000, 1000  # parameters: by tus, and in one PUT


@dataclass(frozen=True)
class Outcome:
    """What a session left behind, without what depends on time."""

    models: list[str]
    points: set[tuple[Any, ...]]


def settings(num_parameters: int = LARGE) -> dict[str, Any]:
    workload = {"name": "synthetic", "options": {"num_parameters": num_parameters}}
    return {"workload": workload, "rounds": 2, "seed": 7, "quorum": 3, "cohort_size": 3}


def outcome(stack: Stack, session: str) -> Outcome:
    assert stack.ended(session)["status"] == "completed"
    assert [e["payload"]["reason"] for e in stack.events(session) if e["kind"] == "round.failed"] == []
    assert_nothing_counted_twice(stack, session)
    metrics = stack.get(f"/sessions/{session}/metrics", limit=1000)["items"]
    metrics = [m for m in metrics if not m["name"].startswith("resources_")]
    points = [(m["client"]["name"], m["round"], m["name"], m["step"], m["value"]) for m in metrics]
    assert len(points) == len(set(points))
    models = stack.get(f"/sessions/{session}/models", limit=1000)["items"]
    return Outcome([model["digest"] for model in models], set(points))


def forget_models(stack: Stack) -> None:
    """Every session here begins with the same model: without this, only the first would download it."""
    for model in stack.folder.glob("agents/*/models/*"):
        model.unlink()


def start(stack: Stack, session: str) -> None:
    """The answer may die with the server."""
    forget_models(stack)
    with contextlib.suppress(requests.RequestException):
        assert stack.post(f"/sessions/{session}/start").status_code == 200


def assert_made_again(stack: Stack, digests: Sequence[str]) -> None:
    """Each of these models is damaged, and made again of its updates with the same bytes."""
    files = {digest: _file(stack, digest) for digest in digests}
    for file in files.values():
        content = bytearray(file.read_bytes())
        content[-1] ^= 0x10
        file.write_bytes(content)
    stack.manage("check_storage", "--repair")
    assert {digest: hashlib.sha256(file.read_bytes()).hexdigest() for digest, file in files.items()} == {
        digest: digest for digest in files
    }


def _file(stack: Stack, digest: str) -> Path:
    return stack.folder / "weights" / digest[:2] / f"{digest}.safetensors"
