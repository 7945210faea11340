"""Requests that no library would send: bytes on a socket, and what comes back."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass

PATIENCE = 30  # seconds; nothing here takes so long


@dataclass(frozen=True)
class Reply:
    """status: 0 where nothing came. closed: the server ended the connection."""

    status: int
    head: str
    body: bytes
    closed: bool
    sent: int = 0


def open_line(port: int) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


def head(method: str, path: str, port: int, **headers: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def ask(port: int, request: bytes) -> Reply:
    """One request as it is."""
    with open_line(port) as line:
        line.sendall(request)
        return read(line)


def pour(port: int, request: bytes, pieces: Iterable[bytes], *, most: int = 64 << 20) -> Reply:
    """A request whose body goes on until the server ends it, or `most` bytes went out."""
    sent = 0
    with open_line(port) as line:
        line.sendall(request)
        with contextlib.suppress(ConnectionError):
            for piece in pieces:
                line.sendall(piece)
                sent += len(piece)
                if sent >= most:
                    break
        reply = read(line)
    return Reply(reply.status, reply.head, reply.body, reply.closed, sent)


def read(line: socket.socket, *, until_closed: bool = False) -> Reply:
    """The next answer, with its body as far as the head tells its length."""
    data, closed = b"", False
    with contextlib.suppress(ConnectionError, TimeoutError):
        while until_closed or not _is_whole(data):
            piece = line.recv(1 << 16)
            if not piece:
                closed = True
                break
            data += piece
    top, _, body = data.partition(b"\r\n\r\n")
    status = int(top[9:12]) if top[:5] == b"HTTP/" else 0
    return Reply(status, top.decode("latin-1").lower(), body, closed)


def _is_whole(data: bytes) -> bool:
    top, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    for each in top.lower().split(b"\r\n"):
        name, _, value = each.partition(b":")
        if name == b"content-length":
            return len(body) >= int(value)
    return top[9:12] in (b"204", b"304") or b"transfer-encoding" not in top.lower()


def ends(line: socket.socket, *, within: float) -> bool:
    """Whether the server ends a connection in time."""
    until = time.monotonic() + within
    line.settimeout(0.2)
    while time.monotonic() < until:
        try:
            if not line.recv(1 << 16):
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


def endless() -> Iterable[bytes]:
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    while True:
        yield piece
