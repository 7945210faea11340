"""NVFlare's own quickstart client at three sites: ten rounds with live curves, and the same model after a kill."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator

import pytest

from federation.killpoints import Point
from flsite import processes
from tests.clientagent.test_process import RUN
from tests.e2e.outcome import Outcome, outcome
from tests.e2e.stack import Stack, running
from tests.peers.nvflare import hello_pt

ROUNDS = 10
SITES = ("north", "south", "west")
# Its client logs every 2000 batches, so a round has as many.
ARGUMENTS = ["--epochs", "1", "--batch_size", "4", "--train_size", "8000", "--num_workers", "0"]


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("hello-pt")
    script = hello_pt.write(folder / "hello-pt")
    env = {"PYTHONWARNINGS": "default", "OMP_NUM_THREADS": "1"}  # three sites share the cores
    with running(folder / "data", env=env, killable=True) as stack:
        stack.script = script
        for name in SITES:
            start(stack, name)
        stack.online(len(SITES))
        yield stack


def start(stack: Stack, name: str) -> None:
    """A site's agent in a folder of its own, into which the client writes a file."""
    folder = stack.folder / "sites" / name
    folder.mkdir(parents=True, exist_ok=True)
    ours = ["--server", stack.url, "--state", str(folder / "state"), "--join", stack.join_code, "--name", name]
    script = ["--nvflare-script", str(stack.script), "--nvflare-name", "hello-pt", "--nvflare-anew"]
    command = [sys.executable, str(RUN), *ours, *script, "--nvflare-initial", "model:SimpleNetwork", "--", *ARGUMENTS]
    part = {"PART": f"{SITES.index(name)}/{len(SITES)}", "FL_KILL_FILE": str(stack._kill_file(name))}
    log = stack.folder / f"{name}.log"
    stack.agents[name] = processes.start(command, log=log, cwd=folder, env=stack.env | part)


def session(stack: Stack, **change: object) -> str:
    wish = {"rounds": ROUNDS, "seed": 7, "quorum": 3, "cohort_size": 3, "workload": {"name": "hello-pt"}}
    return stack.session(**wish | {"round_seconds": 1200} | change)  # a round that fails is trained anew


@pytest.fixture(scope="module")
def undisturbed(sites: Stack) -> tuple[str, Outcome]:
    made = session(sites)
    sites.ended(made, seconds=1200)
    return made, outcome(sites, made)


def test_every_site_trains_every_round_and_its_curve_is_live(sites: Stack, undisturbed: tuple[str, Outcome]):
    made, found = undisturbed
    assert len(set(found.models)) == ROUNDS + 1
    curve = {(name, round_) for name, round_, what, _, _ in found.points if what == "loss"}
    assert curve == {(name, round_) for name in SITES for round_ in range(1, ROUNDS + 1)}
    assert sites.get(f"/sessions/{made}")["workload"]["origin"] == "sites"


def test_it_learns(sites: Stack, undisturbed: tuple[str, Outcome]):
    (evaluation,) = sites.get(f"/sessions/{undisturbed[0]}/rounds", kind="evaluate")["items"]
    assert evaluation["metrics"]["accuracy"] > 60, "per cent, of ten digits"
    models = sites.get(f"/sessions/{undisturbed[0]}/models")["items"]
    curve = {one["version"]: one["federated_metrics"]["accuracy"] for one in models}
    assert set(curve) == set(range(ROUNDS + 1)), (
        "sent with each update, of the model that came, and measured at the end"
    )
    assert curve[0] < 30 < 60 < curve[ROUNDS]


def test_a_site_that_is_killed_in_the_middle_changes_no_model(sites: Stack, undisturbed: tuple[str, Outcome]):
    shaken = session(sites, start=False)
    sites.kill_at("south", Point.TRAINING, time=5)
    assert sites.post(f"/sessions/{shaken}/start").status_code == 200
    assert sites.agents["south"].wait(1200) == -signal.SIGKILL
    start(sites, "south")
    sites.ended(shaken, seconds=1200)
    assert outcome(sites, shaken) == undisturbed[1]
