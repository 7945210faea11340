"""Nothing that strangers send is kept, and nothing they do holds up others: on daphne as on uvicorn."""

from __future__ import annotations

import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import requests

from tests.e2e import lines
from tests.e2e.plain import PlainClient
from tests.e2e.stack import Stack, daphne, running, uvicorn

HUGE = str(10**13)
MORE_THAN_ALL = 16 << 20  # bytes that memory may grow by; each test sends more
PATHS = ["/sign-in/", "/api/v1/enroll", "/api/v1/participations/1/progress", "/healthz", "/nothing", "/"]
REFUSALS = (401, 411, 413)


@pytest.fixture(scope="module", params=[daphne, uvicorn])
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    spool = tmp_path_factory.mktemp("spool")
    env = {"FL_HEAD_SECONDS": "2", "FL_IDLE_SECONDS": "3", "TMPDIR": str(spool)}
    with running(tmp_path_factory.mktemp("site"), env=env, web=request.param) as stack:
        yield stack


@pytest.fixture
def on_daphne(stack: Stack) -> None:
    if "runserver" not in stack.commands["web"]:
        pytest.skip("uvicorn has no such limit of its own; nginx has")


@pytest.fixture
def kept(stack: Stack) -> Iterator[None]:
    """The server keeps nothing: neither in its temporary folder or its data, open or unlinked, nor in memory."""
    web = psutil.Process(stack.running["web"].pid)
    before = web.memory_info().rss
    yield
    assert web.memory_info().rss - before < MORE_THAN_ALL
    for file in [*_open_files(web.pid), *Path(stack.env["TMPDIR"]).rglob("*")]:
        assert "spool" not in str(file) or not Path(file).is_file() or os.path.getsize(file) < 1 << 20, file


def _open_files(pid: int) -> list[str]:
    found = []
    for handle in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(os.readlink(handle))
        except OSError:
            continue
    spooled = [name for name in found if name.startswith((tempfile.gettempdir(), "/tmp")) and "(deleted)" in name]
    assert not spooled, spooled
    return found


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "GET", "DELETE", "NONSENSE"])
@pytest.mark.parametrize("path", [*PATHS, "/api/v1/participations/1/update"])
def test_a_body_without_end_is_refused_and_not_kept(stack: Stack, kept: None, method: str, path: str):
    request = lines.head(method, path, stack.port, Transfer_Encoding="chunked", Content_Type="application/json")
    reply = lines.pour(stack.port, request, lines.endless())
    assert reply.status in (*REFUSALS, 0), reply
    assert reply.sent < 64 << 20, "the server ended it"


@pytest.mark.parametrize("path", PATHS)
def test_a_body_that_is_declared_too_large_is_refused_before_it_comes(stack: Stack, kept: None, path: str):
    with lines.open_line(stack.port) as line:
        line.sendall(lines.head("POST", path, stack.port, Content_Length=HUGE))
        reply = lines.read(line)
        assert reply.status in REFUSALS and "connection: close" in reply.head
        assert lines.ends(line, within=10)


def test_without_a_good_token_the_answer_comes_before_the_body(stack: Stack):
    for token in ("", "Bearer " + "0" * 64, "Bearer flk_nonsense", "Basic YTpi"):
        for method, path in (
            ("POST", "/api/v1/participations/1/progress"),
            ("POST", "/api/v1/participations/1/fail"),
            ("POST", "/api/v1/clients/me/info"),
            ("POST", "/api/v1/sessions"),
            ("PATCH", "/api/v1/clients/1"),
            ("PUT", "/api/v1/participations/1/update"),
        ):
            given = {"Authorization": token} if token else {}
            reply = lines.ask(stack.port, lines.head(method, path, stack.port, Content_Length="1000", **given))
            assert reply.status == 401 and "application/problem+json" in reply.head, (method, path, reply)
            assert "www-authenticate: bearer" in reply.head


def test_a_refusal_is_not_lost_under_a_body_that_goes_on(stack: Stack):
    """The caller writes on while the answer is on its way, and reads only then."""
    request = lines.head("POST", "/api/v1/enroll", stack.port, Content_Length=str(3 << 20))
    reply = lines.pour(stack.port, request, itertools.repeat(b"x" * (1 << 16), 48))
    assert reply.status == 413 and json.loads(reply.body)["status"] == 413


def test_a_caller_that_asks_first_is_told_to_go_on_only_where_its_body_is_wanted(stack: Stack):
    asks = {"Expect": "100-continue", "Content_Type": "application/json"}
    refused = lines.ask(stack.port, lines.head("POST", "/api/v1/sessions", stack.port, Content_Length="10", **asks))
    assert refused.status == 401 and "connection: close" in refused.head
    with lines.open_line(stack.port) as line:
        line.sendall(lines.head("POST", "/api/v1/enroll", stack.port, Content_Length="2", **asks))
        assert line.recv(25).startswith(b"HTTP/1.1 100 Continue")
        line.sendall(b"{}")
        assert lines.read(line).status == 422


def test_unknown_members_cost_little_and_are_named_in_part(stack: Stack, kept: None):
    many = json.dumps({f"member{n}": 1 for n in range(150_000)}).encode()
    assert len(many) > 2 << 20
    answer = requests.post(f"{stack.url}/api/v1/enroll", data=many, timeout=30)
    assert answer.status_code == 413 and len(answer.content) < 1000
    some = json.dumps({f"member{n}": 1 for n in range(1000)}).encode()
    answer = requests.post(f"{stack.url}/api/v1/enroll", data=some, timeout=30)
    assert answer.status_code == 422 and len(answer.content) < 10_000
    assert len(answer.json()["errors"]) == 20


CHUNKED = "Transfer-Encoding: chunked\r\n"
SMUGGLING = {
    "both lengths": f"Content-Length: 5\r\n{CHUNKED}",
    "both lengths, turned": f"{CHUNKED}Content-Length: 5\r\n",
    "two lengths": "Content-Length: 5\r\nContent-Length: 6\r\n",
    "a signed length": "Content-Length: +5\r\n",
    "a negative length": "Content-Length: -5\r\n",
    "a list of lengths": "Content-Length: 5, 6\r\n",
    "a hexadecimal length": "Content-Length: 0x5\r\n",
    "an unknown coding": "Transfer-Encoding: xchunked\r\n",
    "two codings": "Transfer-Encoding: gzip, chunked\r\n",
    "coding twice": f"{CHUNKED}Transfer-Encoding: identity\r\nContent-Length: 5\r\n",
    "a space before the colon": "Content-Length : 5\r\n",
    "a bare return": "X: a\rContent-Length: 5\r\n",
    "a NUL": "X: a\0b\r\n",
}


@pytest.mark.parametrize("form", SMUGGLING)
def test_a_request_that_others_could_read_otherwise_is_refused(stack: Stack, form: str):
    inner = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    top = f"POST /healthz HTTP/1.1\r\nHost: 127.0.0.1:{stack.port}\r\n{SMUGGLING[form]}\r\n"
    with lines.open_line(stack.port) as line:
        line.settimeout(3)
        line.sendall(f"{top}0\r\n\r\n{inner}".encode("latin-1"))
        reply = lines.read(line, until_closed=True)
    assert reply.status in (400, 501), reply
    assert b"HTTP/1.1 200" not in reply.body, "the inner request was answered"


def test_a_request_with_a_body_cannot_change_the_protocol(stack: Stack, on_daphne: None):
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13", "Sec_WebSocket_Key": "x"}
    request = lines.head("POST", "/ws/server/", stack.port, Content_Length="5", **upgrade)
    assert lines.ask(stack.port, request + b"hello").status == 400


def test_a_head_that_does_not_come_to_its_end_is_cut(stack: Stack, on_daphne: None):
    """A byte now and then does not prolong it."""
    with lines.open_line(stack.port) as line, lines.open_line(stack.port) as silent:
        assert _drips(line, b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"a" * 100) < 100
        assert lines.ends(silent, within=10)


def _drips(line, data: bytes) -> int:
    """Send a byte at a time until the server ends it. Returns how many went out."""
    line.settimeout(0.1)
    for count in range(len(data)):
        try:
            line.sendall(data[count : count + 1])
            if line.recv(100) == b"":
                return count
        except TimeoutError:
            continue
        except ConnectionError:
            return count
    return len(data)


def test_an_idle_connection_is_ended_and_one_that_waits_for_work_is_not(stack: Stack, on_daphne: None):
    client = PlainClient(stack, "waits", 10, 1)
    token = client.http.headers["Authorization"]
    with lines.open_line(stack.port) as idle, lines.open_line(stack.port) as polls:
        polls.sendall(lines.head("GET", "/api/v1/work?wait=8", stack.port, Authorization=token))
        idle.sendall(lines.head("GET", "/healthz", stack.port))
        assert lines.read(idle).status == 200
        assert lines.ends(idle, within=10)
        assert lines.read(polls).status == 204


def test_headers_that_every_answer_carries(stack: Stack):
    for path in ("/", "/sign-in/", "/healthz", "/nothing", "/api/v1/work", "/api/v1/sessions", "/api/v1/nothing"):
        answer = requests.get(stack.url + path, timeout=30, allow_redirects=False)
        assert answer.headers["X-Content-Type-Options"] == "nosniff", path
        assert "camera=()" in answer.headers["Permissions-Policy"], path
        assert "no-store" in answer.headers["Cache-Control"], path
        assert ("FL-Server-Version" in answer.headers) == path.startswith(("/api/", "/healthz")), path
    static = requests.get(f"{stack.url}/static/css/tokens.css", timeout=30)
    assert static.ok and static.headers["X-Content-Type-Options"] == "nosniff"
    assert "no-store" not in static.headers["Cache-Control"]


@pytest.mark.parametrize("path", ["/", "/api/v1/work", "/api/v1/sessions", "/static/css/tokens.css"])
def test_a_host_that_is_not_ours_is_named_with_the_setting(stack: Stack, path: str):
    answer = requests.get(stack.url + path, headers={"Host": "evil.example"}, timeout=30)
    assert answer.status_code == 400
    assert "FL_ALLOWED_HOSTS" in answer.text and "evil.example" in answer.text
    kind = "application/problem+json" if path.startswith("/api/") else "text/plain; charset=utf-8"
    assert answer.headers["Content-Type"] == kind
    assert requests.get(f"{stack.url}/healthz", headers={"Host": "evil.example"}, timeout=30).status_code == 200


ODD_PATHS = ["/%", "/%ff%fe", "/%00", "/\xff", "//", "/..%2f..", "/api/v1/%ff", "/static/%00", "/%c0%ae"]


@pytest.mark.parametrize("path", [*ODD_PATHS, "/" + "a" * 9000, "/?" + "a" * 9000, "/?" + "&a=1" * 2000])
def test_odd_addresses_are_no_failures_of_the_server(stack: Stack, path: str):
    for method in ("GET", "POST", "NONSENSE", "get"):
        reply = lines.ask(stack.port, lines.head(method, path, stack.port, Connection="close"))
        assert 200 <= reply.status < 500, (method, reply)


def test_odd_headers_are_no_failures_of_the_server(stack: Stack):
    for name, value in {
        "Cookie": "fl_session=\xff\xfe; fl_csrf=" + "a" * 5000,
        "Authorization": "Bearer \xff\xfe",
        "FL_Agent_Instance": "[" * 7000,
        "Accept_Language": "\xff" * 100,
        "X_Forwarded_For": "\xff, ::::",
        "Range": "bytes=" + "9" * 4000,
        "If_Modified_Since": "9" * 4000,
        "Content_Type": "multipart/form-data; boundary=\xff",
        "Accept_Encoding": "gzip;q=" + "9" * 400,
    }.items():
        for path in ("/", "/sign-in/", "/api/v1/work", "/api/v1/sessions", "/static/css/tokens.css"):
            reply = lines.ask(stack.port, lines.head("GET", path, stack.port, **{name: value}))
            assert 200 <= reply.status < 500, (name, path, reply)


def test_an_unknown_websocket_is_refused_in_words(stack: Stack):
    upgrade = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    for path in ("/ws/nothing/", "/", "/ws/sessions/%ff/", "/ws/sessions/" + "9" * 30 + "/"):
        assert lines.ask(stack.port, lines.head("GET", path, stack.port, **upgrade)).status == 403


def crowd(port: int, size: int, send: Callable[[int], bytes]) -> list:
    found = []
    for number in range(size):
        line = lines.open_line(port)
        line.sendall(send(number))
        found.append(line)
    return found


def test_a_crowd_of_half_heads_leaves_room_for_others(tmp_path: Path):
    env = {"FL_MAX_CONNECTIONS": "40", "FL_HEAD_SECONDS": "60"}
    with running(tmp_path, env=env) as stack:
        client = PlainClient(stack, "anna", 10, 1)
        held = crowd(stack.port, 60, lambda _: b"GET / HTTP/1.1\r\nHost: ")
        web = psutil.Process(stack.running["web"].pid)
        assert client.http.get(f"{stack.url}/api/v1/work?wait=0", timeout=10).status_code == 204
        assert requests.get(f"{stack.url}/sign-in/", timeout=10).ok
        assert len([c for c in web.net_connections("tcp") if c.status == "ESTABLISHED"]) <= 40
        assert sum(lines.ends(line, within=1) for line in held[:20]) == 20, "the oldest went"
        for line in held:
            line.close()


def test_too_many_requests_are_told_when_to_come_again_and_a_client_is_counted_by_itself(tmp_path: Path):
    with running(tmp_path, env={"FL_REQUESTS_PER_ADDRESS": "1", "FL_REQUESTS_PER_CLIENT": "1"}) as stack:
        client = PlainClient(stack, "anna", 10, 1)
        answers = iter(lambda: requests.get(f"{stack.url}/api/v1/work", timeout=10), None)
        refused = next(answer for answer in answers if answer.status_code != 401)
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) >= 1
        assert refused.headers["Content-Type"] == "application/problem+json" and refused.json()["status"] == 429
        work = f"{stack.url}/api/v1/work?wait=0"
        assert client.http.get(work, timeout=10).status_code == 204, "it is not of the crowd"
        statuses = [client.http.get(work, timeout=10).status_code for _ in range(40)]
        assert set(statuses) == {204, 429}
