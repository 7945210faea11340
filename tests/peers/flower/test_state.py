"""What an app keeps in its context outlives a kill, and an evaluation finds it, with a real server."""

from __future__ import annotations

from pathlib import Path

from federation.killpoints import Point
from tests.e2e.outcome import outcome
from tests.e2e.stack import Stack, running, until
from tests.peers.flower.apps import CONFIG, MESSAGES

ROUNDS = 4
SITES = ("north", "south")
TRAIN = {"epochs": 1, "batch_size": 32, "learning_rate": 0.1}


def start(stack: Stack, app: Path, name: str) -> None:
    stack.agent(name, "--flower-app", str(app), "--flower-initial", "kept:begin")


def session(stack: Stack) -> str:
    wish = {"rounds": ROUNDS, "seed": 7, "quorum": 2, "cohort_size": 2, "workload": {"name": "toy"}}
    return stack.session(**wish, train=TRAIN, round_seconds=600, start=False)


def test_a_site_that_is_killed_goes_on_with_what_the_app_kept(tmp_path: Path):
    app = tmp_path / "app"
    app.mkdir()
    (app / "pyproject.toml").write_text(CONFIG.format(module="kept"))
    (app / "kept.py").write_text(MESSAGES.replace("BODY", "pass"))
    with running(tmp_path / "data", env={"PYTHONWARNINGS": "default"}, killable=True) as stack:
        for name in SITES:
            start(stack, app, name)
        stack.online(len(SITES))
        undisturbed, shaken = session(stack), session(stack)
        stack.post(f"/sessions/{undisturbed}/start")
        before = outcome(stack, undisturbed)
        stack.kill_at("south", Point.TRAINED, time=3)
        stack.post(f"/sessions/{shaken}/start")
        until(lambda: stack.agents["south"].poll() is not None, seconds=120)
        stack.died("south")
        start(stack, app, "south")
        assert outcome(stack, shaken) == before
        (evaluation,) = stack.get(f"/sessions/{shaken}/rounds", kind="evaluate")["items"]
        assert evaluation["metrics"]["loss"] == ROUNDS, "what the app counted in its state"
