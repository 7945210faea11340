"""What daphne does with a body that is refused before it is whole, and with one that comes faster than it is taken."""

from __future__ import annotations

import socket
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.e2e.plain import PlainClient
from tests.e2e.stack import Stack, running

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
