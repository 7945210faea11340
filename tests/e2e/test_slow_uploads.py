"""Uploads that come a byte at a time, or stop coming: on daphne, on uvicorn, and behind nginx.

nginx, which here is in front of daphne, gathers a request before it passes it on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, RemoteDisconnected
from typing import Any

import pytest

from tests.e2e import nginx
from tests.e2e.plain import PlainClient
from tests.e2e.stack import Stack, daphne, running, uvicorn

STALL_SECONDS = 2
DRIP_SECONDS = 0.25
TUS = {"Tus-Resumable": "1.0.0"}
needs_nginx = pytest.mark.skipif(nginx.NGINX is None, reason="nginx is not installed")


@dataclass
class Front:
    """A server, and the port at which it is called."""

    name: str
    stack: Stack
    port: int


@pytest.fixture(scope="module", params=["daphne", "uvicorn", pytest.param("nginx", marks=needs_nginx)])
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    env = {"FL_STALL_SECONDS": str(STALL_SECONDS)}
    web = uvicorn if request.param == "uvicorn" else daphne
    with running(tmp_path_factory.mktemp("site"), env=env, web=web) as stack:
        if request.param != "nginx":
            yield Front(request.param, stack, stack.port)
            return
        with nginx.before(stack, stall_seconds=STALL_SECONDS) as url:
            yield Front(request.param, stack, int(url.rpartition(":")[2]))


class Part:
    """A PATCH whose body the test sends as it likes."""

    def __init__(self, front: Front, path: str, *, size: int, offset: int = 0, **headers: Any) -> None:
        self.connection = HTTPConnection("127.0.0.1", front.port, timeout=30)
        self.connection.putrequest("PATCH", path)
        part = {"Content-Type": "application/offset+octet-stream", "Content-Length": size, "Upload-Offset": offset}
        for name, value in (TUS | part | headers).items():
            self.connection.putheader(name.replace("_", "-"), str(value))
        self.connection.endheaders()

    def send(self, data: bytes) -> None:
        self.connection.send(data)

    def status(self) -> int:
        """0: hung up without an answer."""
        try:
            return self.connection.getresponse().status
        except (RemoteDisconnected, ConnectionResetError):
            return 0
        finally:
            self.hang_up()

    def hang_up(self) -> None:
        self.connection.close()


def stands(client: PlainClient, work: dict[str, Any]) -> int:
    answer = client.http.head(client.stack.url + work["update_url"], headers=TUS, timeout=30)
    return int(answer.headers["Upload-Offset"])


def test_what_drips_or_stalls_holds_nobody_up_and_only_what_stalls_is_cut(front: Front):
    clients = [PlainClient(front.stack, f"{name}-{front.name}", 10, 1) for name in ("drips", "stalls", "quick")]
    session = front.stack.session(rounds=1, quorum=3, cohort_size=3)
    works = [client.work() for client in clients]
    drips, stalls, quick = blobs = [client.update(work)[1] for client, work in zip(clients, works, strict=True)]
    dripping, stalled = (
        Part(front, work["update_url"], size=len(blob), Upload_Length=len(blob), **client.http.headers)
        for client, work, blob in zip(clients[:2], works[:2], blobs[:2], strict=True)
    )
    half = len(stalls) // 2
    stalled.send(stalls[:half])
    drops = int(STALL_SECONDS / DRIP_SECONDS) + 2
    dripping.send(drips[:-drops])
    drip = threading.Thread(target=send_slowly, args=(dripping, drips[-drops:]))
    drip.start()
    assert clients[2].put(works[2], quick) == 204
    assert drip.is_alive(), "the quick one was answered while the others were under way"
    drip.join()
    assert dripping.status() == 204, "it took longer than a stall may, but never stood still so long"
    assert stalled.status() == (0 if front.name == "nginx" else 408)
    stalled.hang_up()
    kept = stands(clients[1], works[1])
    assert kept == (0 if front.name == "nginx" else half)
    size, length = len(stalls) - kept, len(stalls)
    rest = Part(front, works[1]["update_url"], size=size, offset=kept, Upload_Length=length, **clients[1].http.headers)
    rest.send(stalls[kept:])
    assert rest.status() == 204
    assert front.stack.ended(session)["status"] == "completed"


def send_slowly(part: Part, data: bytes) -> None:
    for at in range(len(data)):
        time.sleep(DRIP_SECONDS)
        part.send(data[at : at + 1])


def test_a_refusal_comes_before_the_body_where_the_server_can(front: Front):
    client = PlainClient(front.stack, f"refused-{front.name}", 10, 1)
    session = front.stack.session(rounds=1, quorum=1)
    work = client.work()
    url, good = work["update_url"], client.http.headers
    if front.name != "nginx":
        assert Part(front, url, size=4 << 20, Authorization="Bearer " + "0" * 64).status() == 401
        assert Part(front, url, size=4 << 20, offset=77, **good).status() == 409
        assert Part(front, url, size=4 << 20, Upload_Length=1 << 40, **good).status() == 413
    else:  # it waits for the body, but not for one that is too large for it
        assert Part(front, url, size=65 << 20, **good).status() == 413
    assert stands(client, work) == 0
    front.stack.post(f"/sessions/{session}/cancel")
