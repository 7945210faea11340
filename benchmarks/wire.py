"""An HTTP client on asyncio streams, so light that a thousand fit into one process.

It knows no more than this server's answers need: kept-alive HTTP/1.1 with Content-Length.
"""

from __future__ import annotations

import asyncio
import json
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
