"""An example of docs/examples in a session of a server that knows nothing of it."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from federation.fl import weights
from tests.e2e.example_data import SITES
from tests.e2e.stack import ROOT, Stack, until

EXAMPLES = ROOT / "docs" / "examples"
START_SECONDS = 240  # in which a script, or a torchrun of four, loads its libraries on a busy machine


@dataclass(frozen=True)
class Example:
    """measure: of its last model, between `least` and `most`. travels: how many tensors leave a site; 0: any.

    by: a launcher, as arguments of `python`. path: where it finds further modules.
    """

    folder: str
    workload: str
    arguments: Callable[[Path], list[list[str]]]
    measure: str = "accuracy"
    least: float = 0.0
    most: float = 1.0
    travels: int = 0
    by: tuple[str, ...] = ()
    path: tuple[Path, ...] = ()

    def __str__(self) -> str:
        return self.folder


def take_part(stack: Stack, example: Example, folder: Path) -> None:
    """Two sites train two rounds of it, measure the last model, and leave. folder: for its data."""
    names = [f"{example.workload}-{site}" for site in SITES]
    for name, words in zip(names, example.arguments(folder), strict=True):
        script = EXAMPLES / example.folder / "federated.py"
        stack.script(name, script, *words, by=example.by, path=example.path)
    why = f"two sites; logs are in {stack.folder}"
    until(lambda: sites_with(stack, example.workload) == 2, seconds=START_SECONDS, why=why)
    wish = {"workload": {"name": example.workload, "options": {}}, "rounds": 2, "seed": 7, "cohort_size": 2}
    session = stack.session(**wish)
    assert stack.ended(session)["status"] == "completed"

    (evaluation,) = stack.get(f"/sessions/{session}/rounds", kind="evaluate")["items"]
    assert [seat["status"] for seat in evaluation["participations"]] == ["reported", "reported"]
    found = evaluation["metrics"][example.measure]
    assert math.isfinite(found) and example.least <= found <= example.most, found
    curves = stack.get(f"/sessions/{session}/metrics", limit=1000)["items"]
    assert {point["client"]["name"] for point in curves} == set(names)
    last = max(stack.get(f"/sessions/{session}/models")["items"], key=lambda model: model["version"])
    (kept,) = stack.folder.glob(f"weights/*/{last['digest']}.safetensors")
    assert last["version"] == 2 and example.travels in (0, len(weights.read_header(kept).tensors))
    for name in names:
        process = stack.agents.pop(name)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == (1 if example.by else 0), f"logs are in {stack.folder}"  # torchrun says 1


def sites_with(stack: Stack, workload: str) -> int:
    return sum(len(one["clients"]) for one in stack.get("/workloads")["items"] if one["name"] == workload)
