"""An agent whose disk was lost comes back by a code of its own; what remains of the old one is refused."""

import os
import shutil
import signal

from tests.e2e.stack import Stack, assert_nothing_counted_twice


def log(stack: Stack, name: str) -> str:
    return (stack.folder / f"{name}.log").read_text()


def test_a_lost_disk_is_replaced_and_the_client_stays_the_same(stack: Stack):
    agent = stack.agent("north", "--workload", "synthetic")
    stack.online(1)
    assert stack.ended(stack.session(rounds=1, quorum=1))["status"] == "completed"
    os.killpg(agent.pid, signal.SIGKILL)
    agent.wait()
    state = stack.folder / "agents" / "north"
    state.rename(stack.folder / "agents" / "backup")

    lost = stack.agent("north", "--workload", "synthetic")  # by an invitation, as at its first start
    assert lost.wait(30) == 2
    assert "The name north is taken." in log(stack, "north")
    assert "*New token* on the client's page" in log(stack, "north")
    shutil.rmtree(state)

    (client,) = stack.get("/clients")["items"]
    stack.join_code = stack.post(f"/clients/{client['id']}/reissue", {}).json()["join_code"]
    stack.agent("north", "--workload", "synthetic")
    session = stack.session(rounds=2, quorum=1)
    assert stack.ended(session)["status"] == "completed"
    assert_nothing_counted_twice(stack, session)
    assert [one["id"] for one in stack.get("/clients")["items"]] == [client["id"]]

    old = stack.agent("backup")
    assert old.wait(30) == 3
    assert "This token of north was replaced: an agent joined by a code" in log(stack, "backup")
    shutil.rmtree(stack.folder / "agents" / "backup")
