"""HTTP and websocket clients on asyncio streams, so light that a thousand fit into one process.

They know no more than this server's answers need: kept-alive HTTP/1.1 with Content-Length, and text
frames without extensions.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from typing import Any


class Connection:
    """One caller's connection, opened at its first request and again after a cut."""

    def __init__(self, port: int, token: str = "") -> None:
        self.port = port
        self.fixed = f"Host: 127.0.0.1:{port}\r\n" + (f"Authorization: Bearer {token}\r\n" if token else "")
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(
        self, method: str, path: str, body: bytes = b"", *, content_type: str = "application/json"
    ) -> tuple[int, bytes]:
        """Status and body of the answer."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        reader, writer = self._streams
        head = f"{method} {path} HTTP/1.1\r\n{self.fixed}Content-Type: {content_type}\r\nContent-Length: {len(body)}"
        try:
            writer.write(f"{head}\r\n\r\n".encode() + body)
            return await _answer(reader)
        except (asyncio.IncompleteReadError, OSError):
            self.close()
            raise

    async def json(self, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
        """The JSON of an answer that must have this status."""
        found, content = await self.request(method, path, b"" if body is None else json.dumps(body).encode())
        if found != status:
            raise RuntimeError(f"{method} {path}: {found} {content[:500].decode(errors='replace')}")
        return json.loads(content)

    def close(self) -> None:
        if self._streams:
            self._streams[1].close()
            self._streams = None


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status = int(head[9:12])
    length = 0
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    return status, await reader.readexactly(length) if length else b""


async def listen(port: int, path: str, key: str, after: int) -> AsyncIterator[bytes]:
    """The messages of one of the server's websockets, from event `after` on."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    nonce = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {key}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {nonce}\r\n\r\n".encode()
    )
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 101 " not in head:
        raise RuntimeError(f"{path}: {head.decode('latin-1')}")
    writer.write(_frame(json.dumps({"after": after}).encode()))
    try:
        while True:
            opcode, message = await _message(reader)
            if opcode == 8:  # close
                raise RuntimeError(f"{path} was closed: {message!r}")
            if opcode == 9:  # ping
                writer.write(_frame(message, opcode=10))
            elif opcode == 1:
                yield message
    finally:
        writer.close()


def _frame(payload: bytes, *, opcode: int = 1) -> bytes:
    """A short frame with a mask of zeros, which changes nothing (RFC 6455, 5.2)."""
    return bytes((0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0)) + payload


async def _message(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, length = await reader.readexactly(2)
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2))
    elif length == 127:
        length = int.from_bytes(await reader.readexactly(8))
    return first & 0x0F, await reader.readexactly(length)
