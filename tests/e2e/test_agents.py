"""Real agents against the embedded default."""

import json
import os
import signal
from typing import Any

from tests.e2e.stack import Stack, assert_nothing_counted_twice, until

DIGITS = {"name": "digits", "options": {}}


def test_agents_learn_digits_and_stream_their_loss(stack: Stack):
    for n in (1, 2, 3):
        stack.agent(f"site-{n}", "--partition", "dirichlet:0.5", "--shard", f"{n}/3", "--partition-seed", "1")
    stack.online(3)
    session = stack.session(workload=DIGITS, rounds=3, quorum=3, cohort_size=3)
    assert stack.ended(session)["status"] == "completed"
    losses = [m for m in stack.get(f"/sessions/{session}/metrics", limit=1000)["items"] if m["name"] == "train_loss"]
    assert {m["client"]["name"] for m in losses} == {"site-1", "site-2", "site-3"}
    models = until(lambda: _all_evaluated(stack, session), why="central evaluation of every model")
    assert models[3]["metrics"]["loss"] < models[0]["metrics"]["loss"] / 2
    assert models[3]["metrics"]["accuracy"] > 0.6
    assert 0 < models[0]["federated_metrics"]["accuracy"] < models[2]["federated_metrics"]["accuracy"]


def _all_evaluated(stack: Stack, session: str):
    models = stack.get(f"/sessions/{session}/models")["items"]
    return models if all(m["metrics"] for m in models) else None


def test_two_sessions_launched_together_both_finish(stack: Stack):
    for n in (1, 2, 3):
        stack.agent(f"site-{n}")
    stack.online(3)
    both = [stack.session(name=f"session {n}", rounds=4, quorum=3, cohort_size=3) for n in (1, 2)]
    assert [stack.ended(s)["status"] for s in both] == ["completed", "completed"]


def test_a_session_goes_on_from_the_last_model_of_another(stack: Stack):
    for n in (1, 2):
        stack.agent(f"site-{n}")
    stack.online(2)
    first = stack.session(rounds=2)
    last = stack.ended(first)["model"]
    second = stack.session(rounds=1, start_from={"session": first, "version": 2})
    assert stack.ended(second)["status"] == "completed"
    assert stack.get(f"/sessions/{second}/models")["items"][0]["digest"] == last["digest"]


def test_the_session_ends_with_the_same_model_whatever_was_killed(stack: Stack):
    for n in (1, 2, 3):
        stack.agent(f"site-{n}")
    stack.online(3)
    settings = {"rounds": 12, "seed": 7, "quorum": 3, "cohort_size": 3}
    undisturbed = stack.ended(stack.session(name="undisturbed", **settings))
    shaken = stack.session(name="shaken", **settings)
    for name in ("site-1", "site-2"):
        until(lambda: stack.get(f"/sessions/{shaken}")["completed_rounds"] >= 1)
        os.killpg(stack.agents[name].pid, signal.SIGKILL)
        stack.agents.pop(name).wait()
        stack.kill("web")
        stack.start("web")
        stack.agent(name)
    state = stack.ended(shaken)
    assert state["status"] == "completed"
    assert state["model"]["digest"] == undisturbed["model"]["digest"]
    assert_nothing_counted_twice(stack, shaken)


def test_an_agent_killed_mid_training_takes_the_same_work_up_again(stack: Stack):
    go = stack.slow_agents()
    stack.agent("site-1")
    stack.online(1)
    session = stack.session(rounds=1, quorum=1)
    seat = until(lambda: _seat(stack, session, "training"), why="site-1 training")
    before = until(lambda: _metrics(stack, session), why="a first point")
    os.killpg(stack.agents["site-1"].pid, signal.SIGKILL)
    stack.agents.pop("site-1").wait()
    stack.agent("site-1")
    until(lambda: _metrics(stack, session)[-1]["step"] > before[-1]["step"], why="the same training once more")
    go.touch()
    assert stack.ended(session)["status"] == "completed"
    assert _seat(stack, session, "aggregated")["id"] == seat["id"]
    assert_nothing_counted_twice(stack, session)
    points = _metrics(stack, session)
    assert len({(p["name"], p["step"]) for p in points}) == len(points)


def _metrics(stack: Stack, session: str) -> list[dict[str, Any]]:
    points: list[dict[str, Any]] = stack.get(f"/sessions/{session}/metrics", limit=1000)["items"]
    return points


def _seat(stack: Stack, session: str, status: str):
    rounds = stack.get(f"/sessions/{session}/rounds")["items"]
    seats = [p for r in rounds for p in r["participations"] if p["status"] == status]
    return seats[0] if seats else None


def test_ctrl_c_leaves_politely_and_the_round_goes_on_without(stack: Stack):
    go = stack.slow_agents()
    stack.agent("site-1")
    stack.agent("site-2")
    stack.online(2)
    session = stack.session(rounds=1, quorum=1, cohort_size=2)
    until(lambda: len(_metrics(stack, session)) > 5, why="training under way")
    stack.agents["site-2"].send_signal(signal.SIGINT)
    assert stack.agents["site-2"].wait(20) is not None
    go.touch()
    assert stack.ended(session)["status"] == "completed"
    (round_,) = stack.get(f"/sessions/{session}/rounds")["items"]
    assert {p["client"]["name"]: p["status"] for p in round_["participations"]} == {
        "site-1": "aggregated",
        "site-2": "dropped",
    }


def test_the_token_is_kept_where_only_its_owner_can_read_it(stack: Stack):
    stack.agent("site-1")
    stack.online(1)
    state = stack.folder / "agents" / "site-1"
    assert state.stat().st_mode & 0o077 == 0
    files = [f for f in state.rglob("*") if f.is_file()]
    assert files and all(f.stat().st_mode & 0o077 == 0 for f in files)
    tokens = {json.loads(f.read_text())["token"] for f in files if f.suffix == ".json" and "token" in f.read_text()}
    assert len(tokens) == 1
