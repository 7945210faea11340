"""A backup made while agents train, restored on another machine: its agents come back and the session completes."""

from pathlib import Path

from tests.e2e.stack import Stack, assert_nothing_counted_twice, until

ROUNDS = 60  # more than are done while a backup is made


def test_a_server_comes_back_from_a_backup_made_while_training_ran(stack: Stack, tmp_path_factory):
    for n in (1, 2):
        stack.agent(f"site-{n}")
    stack.online(2)
    session = stack.session(rounds=ROUNDS)
    until(lambda: stack.get(f"/sessions/{session}")["completed_rounds"] >= 3)
    file = tmp_path_factory.mktemp("backups") / "fl.tar"
    stack.manage("backup", str(file))
    then = stack.get(f"/sessions/{session}")
    assert "is whole" in stack.manage("verify_backup", str(file))
    stack.kill("web")
    _move_to(stack, tmp_path_factory.mktemp("elsewhere"))
    assert "Restored: 1 session, 2 clients" in stack.manage("restore", str(file))
    stack.start()
    began = stack.get(f"/sessions/{session}")
    assert 3 <= began["completed_rounds"] <= then["completed_rounds"] < ROUNDS
    ended = stack.ended(session)
    assert ended["status"] == "completed"
    assert {client["name"] for client in stack.get("/clients")["items"]} == {"site-1", "site-2"}
    models = stack.get(f"/sessions/{session}/models", limit=1000)["items"]
    assert [model["version"] for model in models] == list(range(ROUNDS + 1))
    assert_nothing_counted_twice(stack, session)


def _move_to(stack: Stack, folder: Path) -> None:
    """The server has a new machine at the old address. The agents, still running, know nothing of it."""
    stack.folder = folder
    stack.env["FL_DATA_DIR"] = str(folder)
