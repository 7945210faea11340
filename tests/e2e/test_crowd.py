"""Many clients in one process make what as many agents make, also when a worker or the process is killed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from federation.killpoints import Point
from tests.e2e.outcome import Outcome, outcome
from tests.e2e.stack import Stack, running, until

CLIENTS = 8
DATA = ("--partition", "dirichlet:0.5", "--samples", "40", "--workload", "digits")
CROWD = ("--clients", str(CLIENTS), "--workers", "2", *DATA)
NAMES = [f"sim-{number}" for number in range(1, CLIENTS + 1)]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with running(tmp_path, killable=True) as stack:
        yield stack


def session(stack: Stack) -> str:
    train = {"epochs": 1, "batch_size": 8, "learning_rate": 0.05}
    change = {"workload": {"name": "digits", "options": {}}, "train": train, "compression": {"name": "int8"}, "seed": 5}
    return stack.session(rounds=3, quorum=CLIENTS, cohort_size=CLIENTS, **change)


def reported(stack: Stack, session: str) -> int:
    """How many seats of the newest round have reported."""
    rounds = stack.get(f"/sessions/{session}/rounds", limit=1000)["items"]
    return sum(seat["status"] in ("reported", "aggregated") for seat in rounds[-1]["participations"]) if rounds else 0


def family(pid: int) -> tuple[psutil.Process, list[psutil.Process]]:
    """The nursery and its workers."""
    (nursery,) = psutil.Process(pid).children()
    return nursery, nursery.children()


def is_over(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def undisturbed(stack: Stack) -> Outcome:
    """The same by an agent of its own for each client, in the same state folders."""
    for number, name in enumerate(NAMES, start=1):
        state = ("--state", str(stack.folder / "agents" / "sim" / name))
        stack.agent(name, *state, "--shard", f"{number}/{CLIENTS}", *DATA)
    stack.online(CLIENTS)
    return outcome(stack, session(stack))


def test_eight_clients_make_what_eight_agents_make_whoever_is_killed(stack: Stack):
    crowd = stack.crowd("sim", *CROWD)
    stack.online(CLIENTS)
    assert sorted(client["name"] for client in stack.get("/clients", limit=100)["items"]) == NAMES
    first = _with_a_worker_killed(stack, crowd.pid)
    second = _killed_and_started_again(stack)
    assert stack.agents["sim"].poll() is None
    stack.agents["sim"].send_signal(signal.SIGINT)
    assert stack.agents.pop("sim").wait(30) == 0
    until(lambda: not any(client["online"] for client in stack.get("/clients", limit=100)["items"]), why="all left")
    assert first == second == undisturbed(stack)


def _with_a_worker_killed(stack: Stack, pid: int) -> Outcome:
    """One worker stands still with its job until the others have done theirs, and dies."""
    until(lambda: len(family(pid)[1]) == 2, why="two workers")
    worker = family(pid)[1][0]
    worker.suspend()
    began = session(stack)
    until(lambda: reported(stack, began) == CLIENTS - 1, why="all but one")
    worker.kill()
    found = outcome(stack, began)
    (evaluation,) = stack.get(f"/sessions/{began}/rounds", kind="evaluate")["items"]
    assert evaluation["outcome"] == "numbers" and "accuracy" in evaluation["metrics"]
    return found


def _killed_and_started_again(stack: Stack) -> Outcome:
    """The process dies with updates that it has made and not sent. Its workers end with it."""
    nursery, workers = family(stack.agents["sim"].pid)
    stack.kill_at("sim", Point.UPDATE_KEPT, time=CLIENTS + 3)
    began = session(stack)
    stack.died("sim")
    until(lambda: all(map(is_over, [nursery, *workers])), why="the end of nursery and workers")
    stack.crowd("sim", *CROWD)
    found = outcome(stack, began)
    assert "sending the update that was kept" in (stack.folder / "agents" / "sim" / "log.txt").read_text()
    return found
