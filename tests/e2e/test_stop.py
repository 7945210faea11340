"""The server ends when it is told to."""

import signal
import socket

import pytest

from tests.e2e.stack import Stack, running


def test_the_server_ends_on_sigterm_with_requests_polls_and_training_under_way(tmp_path):
    for n in range(4):  # where a request is cut differs from time to time
        folder = tmp_path / str(n)
        folder.mkdir()
        with running(folder) as stack:
            for name in ("north", "south", "west"):
                stack.agent(name)
            stack.online(3)
            stack.session(rounds=1000, quorum=3)
            stack.running["web"].send_signal(signal.SIGTERM)
            assert stack.running["web"].wait(10) == 0


@pytest.mark.parametrize("more", [["--noreload"], []])
def test_a_taken_port_is_told_in_a_sentence_with_a_status(tmp_path, more):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        stack = Stack(tmp_path)
        port = taken.getsockname()[1]
        stack.commands["web"] = ["manage.py", "runserver", f"127.0.0.1:{port}", *more]
        stack.start_only("web")
        try:
            assert stack.running["web"].wait(30) == 1
        finally:
            stack.stop()
    assert f"cannot listen on 127.0.0.1:{port}" in (tmp_path / "web.log").read_text()
