"""Processes of a real torchrun are killed in the middle, and started again by run.py: the models are the same."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.examples import EXAMPLES, START_SECONDS
from tests.e2e.stack import ROOT, Stack, running, until

TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
SITES = ("north", "south")
ROUNDS = 4


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("torchrun") / "data") as stack:
        try:
            for number, name in enumerate(SITES):
                begin_site(stack, number, name)
            stack.online(len(SITES), seconds=START_SECONDS)
            yield stack
        finally:
            for process in [stack.agents.pop(name) for name in SITES]:  # killed, run.py would leave its program behind
                process.send_signal(signal.SIGTERM)
                assert process.wait(60) == 0, f"logs are in {stack.folder}"


def begin_site(stack: Stack, number: int, name: str) -> None:
    flags = ["--server", stack.url, "--join", stack.join_code, "--name", name]
    state = ["--state", str(stack.folder / "agents" / name)]
    by = [str(ROOT / "clientagent" / "run.py"), *flags, *state, "--", *TORCHRUN]
    stack.script(name, EXAMPLES / "torchrun" / "federated.py", str(number), by=by)


@pytest.fixture(scope="module")
def undisturbed(stack: Stack) -> list[str]:
    return digests(stack, begin(stack))


@pytest.mark.parametrize("who", [("0",), ("1",), ("0", "1")], ids=["rank_0", "rank_1", "both"])
def test_whoever_is_killed_the_models_are_the_same(stack: Stack, undisturbed: list[str], who: tuple[str, ...]):
    session = begin(stack)
    until(lambda: stack.get(f"/sessions/{session}/metrics", limit=1)["items"], seconds=START_SECONDS, why="points")
    for pid in ranks(stack.agents["north"].pid, who):
        os.kill(pid, signal.SIGKILL)
    assert digests(stack, session) == undisturbed
    assert [one["attempt"] for one in stack.get(f"/sessions/{session}/rounds")["items"]] == [1] * ROUNDS


def begin(stack: Stack) -> str:
    workload = {"name": "digits-with-torchrun", "options": {}}
    return stack.session(workload=workload, rounds=ROUNDS, seed=7, quorum=2, cohort_size=2)


def digests(stack: Stack, session: str) -> list[str]:
    """Of a session's models, the last one first."""
    assert stack.ended(session, seconds=START_SECONDS)["status"] == "completed", f"logs are in {stack.folder}"
    return [model["digest"] for model in stack.get(f"/sessions/{session}/models")["items"]]


def ranks(pid: int, who: tuple[str, ...]) -> list[int]:
    """The processes with these ranks, below run.py and torchrun."""
    (torchrun,) = children(pid)
    return [child for child in children(torchrun) if environment(child).get("RANK") in who]


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def environment(pid: int) -> dict[str, str]:
    entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return dict(entry.split("=", 1) for entry in entries if "=" in entry)
