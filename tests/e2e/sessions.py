"""Sessions that several files of tests look at."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.shared import once
from tests.e2e.stack import Stack, running, until
from tests.e2e.test_browser import DIGITS

LONG = 51  # rounds: more than are on a page of any list


@contextmanager
def used_before(folder: Path) -> Iterator[tuple[Stack, dict[str, str]]]:
    """An installation with two agents, and its past sessions by name: two that learnt digits, and one of many rounds.

    The sessions ran once for all files of tests; each file gets a copy of what they left, and starts it again.
    """
    made = once("used", _use)
    kept = json.loads((made / "kept.json").read_text())
    shutil.copytree(made / "data", folder)
    with running(folder, api_key=kept["api_key"]) as stack:
        stack.join_code = kept["join_code"]
        stack.two_sites("--send-log")
        yield stack, kept["sessions"]


def _use(folder: Path) -> None:
    with running(folder / "data") as stack:
        stack.two_sites("--send-log")
        asked = {"alpha": {"workload": DIGITS, "rounds": 2}, "beta": {"workload": DIGITS, "rounds": 2, "seed": 9}}
        ids = {name: stack.session(name=name, cohort_size=2, **change) for name, change in asked.items()}
        ids["long"] = stack.session(name="long", rounds=LONG, cohort_size=2)
        for session in ids.values():
            stack.ended(session)
        until(lambda: all(one["metrics"] for name in asked for one in models(stack, ids[name])), why="evaluations")
        for agent in stack.agents.values():  # so that agents of the copies are nobody's rivals
            agent.send_signal(signal.SIGINT)
            agent.wait(20)
        stack.agents.clear()
        key = stack.http.headers["Authorization"].removeprefix("Bearer ")
        kept = {"sessions": ids, "join_code": stack.join_code, "api_key": key}
    (folder / "kept.json").write_text(json.dumps(kept))


def models(stack: Stack, session: str) -> list[dict[str, object]]:
    return stack.get(f"/sessions/{session}/models")["items"]


def learned(stack: Stack) -> str:
    """A session of three rounds of real training, which is over."""
    session = stack.session(name="done", workload=DIGITS, cohort_size=2, train={"epochs": 2, "batch_size": 8})
    stack.ended(session)
    return session


def run_a_short_one(stack: Stack) -> None:
    stack.ended(stack.session(name="meanwhile", rounds=1, cohort_size=2))
