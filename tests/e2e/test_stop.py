"""The server ends when it is told to."""

import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.e2e import lines
from tests.e2e.plain import PlainClient
from tests.e2e.stack import Stack, running, until

SMALL = {"name": "synthetic", "options": {"num_parameters": 1000}}


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


def test_what_is_under_way_may_finish(tmp_path: Path) -> None:
    with running(tmp_path) as stack, ThreadPoolExecutor() as pool, ExitStack() as ends:
        waits, sends = PlainClient(stack, "waits", 10, 1), PlainClient(stack, "sends", 10, 2)
        stack.session(workload=SMALL, rounds=1, quorum=1, cohort_size=1)
        working, idle = (sends, waits) if (work := sends.work()) else (waits, sends)
        work = work or waits.work()
        _, blob = working.update(work)
        key = {"Authorization": str(stack.http.headers["Authorization"])}
        page = ends.enter_context(connect(f"ws://127.0.0.1:{stack.port}/ws/server/", additional_headers=key))
        poll = pool.submit(idle.http.get, f"{stack.url}/api/v1/work", params={"wait": 30}, timeout=40)
        with lines.open_line(stack.port) as line:
            token = str(working.http.headers["Authorization"])
            length = {"Content_Length": str(len(blob)), "Authorization": token}
            line.sendall(lines.head("PUT", work["update_url"], stack.port, **length) + blob[:100])
            time.sleep(0.5)
            web = stack.running["web"]
            web.send_signal(signal.SIGTERM)
            told = time.monotonic()
            held = poll.result(5)
            assert held.status_code == 204 and time.monotonic() - told < 5
            assert held.headers["Connection"] == "close"
            until(lambda: not listens(stack.port), seconds=5, why="a port that is closed")
            with pytest.raises(ConnectionClosed) as closed:
                page.recv(5)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012
            assert web.poll() is None
            line.sendall(blob[100:])
            reply = lines.read(line)
        assert reply.status == 204 and "connection: close" in reply.head.lower()
        assert web.wait(5) == 0 and time.monotonic() - told < 9
        stack.running.pop("web")
        stack.start("web")
        until(lambda: stack.get("/sessions")["items"][0]["completed_rounds"] == 1, why="the round of that update")


def test_an_upload_that_stands_still_ends_with_the_process(tmp_path: Path) -> None:
    with running(tmp_path) as stack:
        client = PlainClient(stack, "stalls", 10, 1)
        stack.session(workload=SMALL, rounds=1, quorum=1)
        work = client.work()
        with lines.open_line(stack.port) as line:
            token = str(client.http.headers["Authorization"])
            line.sendall(lines.head("PUT", work["update_url"], stack.port, Content_Length="5000", Authorization=token))
            time.sleep(0.5)
            stack.running["web"].send_signal(signal.SIGTERM)
            assert stack.running["web"].wait(15) == 0


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


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
