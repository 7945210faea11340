"""What is open on real servers: sockets that never read, and rights that are taken back by another process."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import socket
import sqlite3
import struct
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.e2e.plain import PlainClient
from tests.e2e.stack import Stack, daphne, running, until, uvicorn

SILENT = 30  # sockets that never read
REFUSED_BYTES = 1_000_000  # of each body that is refused
EVENTS, EVENT_BYTES = 800, 40_000  # of the log that they ask for: 32 MB for each of them


@pytest.fixture(scope="module", params=[daphne, uvicorn], ids=["daphne", "uvicorn"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("site"), web=request.param, env={"FL_STALL_SECONDS": "3"}) as stack:
        yield stack


_open: list[Any] = []


def kept(one: Any) -> Any:
    """Closed at the end of the test."""
    _open.append(one)
    return one


@pytest.fixture(autouse=True)
def closing() -> Iterator[None]:
    yield
    while _open:
        _open.pop().close()


class Socket:
    """A websocket whose reading the test decides."""

    def __init__(self, site: Stack, path: str, *, buffer: int = 4096) -> None:
        self.socket = kept(socket.socket())
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.connect(("127.0.0.1", site.port))
        self.socket.settimeout(30)
        key = base64.b64encode(os.urandom(16)).decode()
        headers = {
            "Host": f"127.0.0.1:{site.port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": key,
            "Sec-WebSocket-Version": "13",
            "Authorization": site.http.headers["Authorization"],
        }
        lines = "".join(f"{name}: {value!s}\r\n" for name, value in headers.items())
        self.socket.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
        self.stream = kept(self.socket.makefile("rb"))
        self.status = int(self.stream.readline().split()[1])
        while self.stream.readline().strip():
            pass

    def ask(self, after: int) -> None:
        text = json.dumps({"after": after}).encode()
        mask = os.urandom(4)
        masked = bytes(one ^ mask[at % 4] for at, one in enumerate(text))
        self.socket.sendall(bytes([0x81, 0x80 | len(text)]) + mask + masked)

    def frame(self) -> tuple[int, bytes]:
        """The next message: its kind (1 text, 8 close, 9 ping) and content."""
        first, size = self.stream.read(2)
        if size == 126:
            (size,) = struct.unpack(">H", self.stream.read(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self.stream.read(8))
        return first & 15, self.stream.read(size)

    def text(self) -> dict[str, Any]:
        while True:
            kind, content = self.frame()
            if kind == 1:
                return json.loads(content)
            assert kind == 9, (kind, content)

    def close_code(self) -> int:
        while True:
            kind, content = self.frame()
            if kind == 8:
                return int.from_bytes(content[:2], "big")


def memory(site: Stack) -> int:
    return psutil.Process(site.running["web"].pid).memory_info().rss


def fill_log(site: Stack, session: str) -> int:
    """Give a session a long log. Returns its last number."""
    payload = json.dumps({"text": "x" * EVENT_BYTES})
    with contextlib.closing(sqlite3.connect(Path(site.folder) / "db.sqlite3", timeout=30)) as database, database:
        (last,) = database.execute("SELECT last_seq FROM federation_trainingsession WHERE id = ?", [session]).fetchone()
        rows = ((last + n, "2026-01-01 00:00:00", payload, "round.opened", session) for n in range(1, EVENTS + 1))
        database.executemany(
            "INSERT INTO federation_event (seq, time, payload, kind, session_id) VALUES (?, ?, ?, ?, ?)", rows
        )
        database.execute("UPDATE federation_trainingsession SET last_seq = ? WHERE id = ?", [last + EVENTS, session])
    return last + EVENTS


def test_sockets_that_never_read_cost_little_and_others_hear_everything(site: Stack):
    session = site.session(start=False)
    path, last = f"/ws/sessions/{session}/", fill_log(site, session)
    reader = Socket(site, path, buffer=1 << 20)
    reader.ask(0)
    seen = 0
    while seen < last:
        seen = reader.text()["events"][-1]["seq"]
    before = memory(site)
    silent = [Socket(site, path) for _ in range(SILENT)]
    for one in silent:
        assert one.status == 101
        one.ask(0)
    site.post(f"/sessions/{session}/cancel")
    events = reader.text()["events"]
    assert [event["seq"] for event in events][0] == last + 1
    grown = memory(site) - before
    assert grown < SILENT * 2_000_000, f"{grown / SILENT / 1e6:.1f} MB a socket that was to be sent 32 MB"
    server = psutil.Process(site.running["web"].pid)

    def let_go() -> bool:
        mine = {one.socket.getsockname()[1] for one in silent}
        there = {c.raddr.port for c in server.net_connections("tcp") if c.raddr and c.status == "ESTABLISHED"}
        return not mine & there

    if "uvicorn" in site.commands["web"]:
        return  # it waits for the reader before it closes
    until(let_go, seconds=60, why="that the server lets go of who takes nothing")


def test_one_more_than_allowed_is_told_so(site: Stack):
    path = f"/ws/sessions/{site.session(start=False)}/"
    sockets = [Socket(site, path) for _ in range(64)]
    assert all(one.status == 101 for one in sockets)
    assert Socket(site, path).close_code() == 4429


def test_what_another_process_takes_back_ends_here(site: Stack):
    """A shell disables a client in a poll, in an upload and in a download."""
    session = site.session(
        workload={"name": "synthetic", "options": {"num_parameters": 20_000_000}}, rounds=1, quorum=1, start=False
    )
    name = f"bad-{site.running['web'].pid}"
    client, good = PlainClient(site, name, 10, 1), PlainClient(site, f"good-{name}", 10, 1)
    site.post(f"/sessions/{session}/start")
    work = until(lambda: client.work(wait=1), why="work")
    held: list[int] = []
    other = PlainClient(site, f"idle-{name}", 10, 1)

    def poll() -> None:
        url = f"{site.url}/api/v1/work?wait=60"
        held.append(requests.get(url, headers=dict(other.http.headers), timeout=90).status_code)

    polling = threading.Thread(target=poll)
    polling.start()
    token = client.http.headers["Authorization"]
    upload = raw(
        site,
        f"PATCH {work['update_url']} HTTP/1.1",
        f"Authorization: {token}",
        "Tus-Resumable: 1.0.0",
        "Content-Type: application/offset+octet-stream",
        "Content-Length: 5000000",
        "Upload-Offset: 0",
    )
    upload.sendall(b"x" * 100_000)
    download = raw(site, f"GET {work['base_model']['url']} HTTP/1.1", f"Authorization: {token}")
    assert b" 200 " in download.recv(100)
    names = [name, f"idle-{name}"]
    change = f"Client.objects.filter(name__in={names}).update(enabled=False)"
    shell = threading.Thread(
        target=site.manage, args=("shell", "-c", f"from federation.models import Client; {change}")
    )
    shell.start()
    while not readable(upload, 0.5):  # a shell may take longer than an upload may stand still
        upload.sendall(b"x" * 100)
    assert b" 403 " in upload.recv(100)
    shell.join()
    polling.join(30)
    assert held == [403]
    assert len(drained(download)) < work["base_model"]["num_bytes"], "cut off"
    assert good.http.get(f"{site.url}/api/v1/work?wait=0", timeout=30).status_code in (200, 204)
    site.post(f"/sessions/{session}/cancel")


def test_what_arrived_of_a_refused_body_is_let_go_of(site: Stack):
    client = PlainClient(site, "refused", 10, 1)
    head = [
        "PUT /api/v1/participations/987654/update HTTP/1.1",
        f"Authorization: {client.http.headers['Authorization']}",
        f"Content-Length: {2 * REFUSED_BYTES}",
    ]

    def refused(_: int) -> bytes:
        connection = raw(site, *head)
        connection.sendall(bytes(REFUSED_BYTES))  # the other half never comes
        answer = connection.recv(100)
        connection.close()
        return answer

    def rush() -> None:
        with ThreadPoolExecutor(10) as senders:  # of 16 that a client may have under way
            answers = set(senders.map(refused, range(60)))
        assert all(b" 404 " in answer for answer in answers), answers

    rush()
    before = memory(site)
    for _ in range(4):
        rush()
    grown = memory(site) - before
    assert grown < 4 * 60 * 50_000, f"{grown / 240 / 1e3:.0f} kB a body that was refused"


def readable(one: socket.socket, seconds: float) -> bool:
    return bool(select.select([one], [], [], seconds)[0])


def raw(site: Stack, *lines: str) -> socket.socket:
    made = kept(socket.socket())
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect(("127.0.0.1", site.port))
    made.settimeout(30)
    made.sendall("\r\n".join([*lines, f"Host: 127.0.0.1:{site.port}", "", ""]).encode())
    return made


def drained(connection: socket.socket) -> bytes:
    """What was on its way when the other end cut it off."""
    got = b""
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(1 << 16):
            got += data
    return got
