"""What daphne does with bodies that are refused before they are whole or come too fast, and with files it sends."""

from __future__ import annotations

import socket
import struct
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest

from tests.e2e.plain import PlainClient
from tests.e2e.stack import Stack, running, until

MODEL = 2_000_000  # parameters: an update is larger than what a socket and the queue hold


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory):
    with running(Path(tmp_path_factory.mktemp("site"))) as stack:
        yield stack


@pytest.fixture(scope="module")
def work(stack: Stack):
    client = PlainClient(stack, "anna", MODEL, 1)
    stack.session(rounds=1, quorum=1, workload={"name": "synthetic", "options": {"num_parameters": MODEL}})
    return client, client.work()


def test_a_connection_lives_on_after_a_refusal_that_came_before_the_body(stack: Stack, work):
    client, offered = work
    connection = HTTPConnection("127.0.0.1", stack.port, timeout=30)
    headers = {"Content-Type": "application/octet-stream", "Authorization": "Bearer " + "0" * 64}
    for _ in range(3):
        connection.request("PUT", offered["update_url"], b"x" * (4 << 20), headers)
        answer = connection.getresponse()
        assert answer.status == 401 and answer.read()
    connection.request("GET", "/api/v1/work?wait=0", headers=dict(client.http.headers))
    assert connection.getresponse().status == 200
    connection.close()


def test_two_requests_in_one_packet_are_both_answered(stack: Stack, work):
    client, offered = work
    path, token = offered["update_url"], client.http.headers["Authorization"]
    head = f"Host: 127.0.0.1:{stack.port}\r\nAuthorization: {token}\r\nTus-Resumable: 1.0.0\r\n"
    patch = f"PATCH {path} HTTP/1.1\r\n{head}Content-Type: application/offset+octet-stream\r\nUpload-Offset: 0\r\n"
    look = f"HEAD {path} HTTP/1.1\r\n{head}Connection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as line:
        line.sendall(f"{patch}Content-Length: 5\r\n\r\nhello{look}".encode())
        answers = b"".join(iter(lambda: line.recv(1 << 16), b"")).decode()
    assert answers.count("HTTP/1.1 204") == 1 and answers.count("HTTP/1.1 200") == 1
    assert answers.lower().count("upload-offset: 5") == 2


def test_an_update_in_one_request_arrives_whole(stack: Stack, work):
    client, offered = work
    _, update = client.update(offered)
    assert len(update) < offered["max_put_bytes"] and client.put(offered, update) == 204


def model_requests(stack: Stack, work, *ranges: str) -> bytes:
    """Requests for the model in one packet, the last of which closes the connection."""
    client, offered = work
    head = f"GET {offered['base_model']['url']} HTTP/1.1\r\nHost: 127.0.0.1:{stack.port}\r\n"
    head += f"Authorization: {client.http.headers['Authorization']}\r\n"
    asked = [f"{head}Range: bytes={each}\r\n" if each else head for each in ranges]
    return ("\r\n".join(asked) + "Connection: close\r\n\r\n").encode()


def bodies(answers: bytes) -> list[bytes]:
    """The bodies of answers that follow each other on one connection."""
    found = []
    while answers:
        head, _, rest = answers.partition(b"\r\n\r\n")
        size = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        found.append(rest[:size])
        answers = rest[size:]
    return found


def test_parts_of_a_file_that_are_asked_for_in_one_packet_come_whole_and_in_order(stack: Stack, work):
    client, offered = work
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as line:
        line.sendall(model_requests(stack, work, "5000000-", "0-9", "", "10-4999999"))
        tail, head, whole, middle = bodies(b"".join(iter(lambda: line.recv(1 << 16), b"")))
    assert sha256(whole).hexdigest() == offered["base_model"]["digest"]
    assert head + middle + tail == whole


def test_a_slow_reader_gets_the_whole_file(stack: Stack, work):
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        line.settimeout(30)
        line.connect(("127.0.0.1", stack.port))
        line.sendall(model_requests(stack, work, ""))
        (whole,) = bodies(b"".join(iter(lambda: line.recv(20_000), b"")))
    assert sha256(whole).hexdigest() == work[1]["base_model"]["digest"]


def test_who_hangs_up_within_a_file_disturbs_nobody(stack: Stack, work):
    before = psutil.Process(stack.running["web"].pid).num_fds()
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as line:
            line.sendall(model_requests(stack, work, ""))
            assert line.recv(1000)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # ends by a reset
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as line:
        line.sendall(model_requests(stack, work, "0-9"))
        assert len(bodies(b"".join(iter(lambda: line.recv(1 << 16), b"")))[0]) == 10
    until(lambda: psutil.Process(stack.running["web"].pid).num_fds() <= before, why="files are left open")
