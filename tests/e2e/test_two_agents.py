"""Two agents with one token: the second is refused or takes over, and the round is as if there were one."""

import os
import shutil
import signal

from tests.e2e.stack import Stack, assert_nothing_counted_twice, until


def log(stack: Stack, name: str) -> str:
    return (stack.folder / f"{name}.log").read_text()


def test_a_copied_state_folder_is_refused_until_it_takes_over(stack: Stack):
    first = stack.agent("north", "--workload", "synthetic")
    stack.online(1)
    session = stack.session(rounds=1, quorum=1, cohort_size=1)
    assert stack.ended(session)["status"] == "completed"

    shutil.copytree(stack.folder / "agents" / "north", stack.folder / "agents" / "copy")
    second = stack.agent("copy")
    assert second.wait(30) == 4
    assert f"Another agent acts for north with this token: process {first.pid} on" in log(stack, "copy")
    assert first.poll() is None

    stack.agent("copy", "--take-over")
    session = stack.session(rounds=3, quorum=1, cohort_size=1)
    assert first.wait(60) == 4
    assert f"process {stack.agents['copy'].pid} on" in log(stack, "north")
    assert stack.ended(session)["status"] == "completed"
    assert_nothing_counted_twice(stack, session)


def test_a_killed_agent_comes_back_in_its_folder_at_once(stack: Stack):
    stack.agent("north", "--workload", "synthetic")
    stack.online(1)
    for _ in range(2):
        os.killpg(stack.agents["north"].pid, signal.SIGKILL)
        stack.agents["north"].wait()
        stack.agent("north", "--workload", "synthetic")
        until(lambda: log(stack, "north").count("Waiting for work.") >= 1)
        assert stack.ended(stack.session(rounds=1, quorum=1))["status"] == "completed"
    assert "Another agent" not in log(stack, "north")
