"""The attacker that abuse.py starts: one kind of attack on a port, until it is killed.

    attacks.py NAME PORT CREDENTIALS    an attack; CREDENTIALS is a JSON file
    attacks.py nobody PORT              a server that accepts every connection and answers nothing

All connections come from 127.0.0.66, so that limits by address separate the attacker from the agents on 127.0.0.1.
Whatever is refused or cut is tried again almost at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import resource
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

ATTACKER = "127.0.0.66"
ENDLESS, PIECE = 10**13, bytes(64 << 10)
HALF_HEADERS, SOCKETS, HALF_UPLOADS = 1100, 100, 200
SIGN_INS_A_MINUTE = 500
POINTS, POINTS_A_CALL = 300_000, 10_000
UNKNOWN_BYTES = 2 << 20
AGAIN_SECONDS = 0.05
PATIENCE_SECONDS = 10.0  # to wait for an answer

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Attacker:
    """credentials: the attacker's tokens, seats and cookie."""

    def __init__(self, port: int, credentials: dict[str, Any]) -> None:
        self.port, self.credentials = port, credentials

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[Streams]:
        streams = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(ATTACKER, 0))
        try:
            yield streams
        finally:
            streams[1].close()

    def head(self, method: str, path: str, *fields: str) -> bytes:
        lines = (f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *fields)
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    async def forever(self, attack: Callable[[], Awaitable[None]]) -> None:
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError, asyncio.LimitOverrunError):
                await attack()
            await asyncio.sleep(AGAIN_SECONDS)

    async def post(self, method: str, path: str, body: bytes, *fields: str) -> tuple[str, bytes]:
        """Head and body of the answer to one request on a connection of its own."""
        async with self.connected() as (reader, writer):
            head = self.head(method, path, f"Content-Length: {len(body)}", "Connection: close", *fields)
            writer.write(head + body)
            await writer.drain()
            answer = await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
            found, _, content = answer.partition(b"\r\n\r\n")
            return found.decode("latin-1"), content

    # ---- the attacks

    async def endless_bodies(self) -> None:
        """Send each address an endless body and one of ten terabytes, without a token."""
        targets = [("POST", "/sign-in/"), ("POST", "/api/v1/enroll"), ("GET", "/healthz")]
        targets += [("POST", "/api/v1/participations/1/progress"), ("PUT", "/api/v1/participations/1/update")]
        kinds = ("Transfer-Encoding: chunked", f"Content-Length: {ENDLESS}")
        both = itertools.product(targets, kinds)
        await asyncio.gather(*(self.forever(lambda a=a, k=k: self._endless(*a, k)) for a, k in both))

    async def _endless(self, method: str, path: str, length: str) -> None:
        async with self.connected() as (reader, writer):
            json_type = "Content-Type: application/json"
            writer.write(self.head(method, path, length, json_type))
            frame = f"{len(PIECE):x}\r\n".encode() + PIECE + b"\r\n" if "chunked" in length else PIECE
            while not reader.at_eof():
                writer.write(frame)
                await writer.drain()
                await asyncio.sleep(0)

    async def half_headers(self) -> None:
        await asyncio.gather(*(self.forever(self._half_header) for _ in range(HALF_HEADERS)))

    async def _half_header(self) -> None:
        async with self.connected() as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: ")
            while not reader.at_eof():
                writer.write(b"a")
                await writer.drain()
                await asyncio.sleep(5)
        await asyncio.sleep(1)

    async def unknown_members(self) -> None:
        body = json.dumps({f"member {n:06}": n for n in range(UNKNOWN_BYTES // 24)}).encode()
        json_type = "Content-Type: application/json"
        calls = (self.forever(lambda: self.post("POST", "/api/v1/enroll", body, json_type)) for _ in range(4))
        await asyncio.gather(*calls)

    async def many_points(self) -> None:
        """One client reports points, each with a new name."""
        names = itertools.count()

        async def report() -> None:
            await asyncio.sleep(1)  # the fastest that an agent reports
            points = [{"name": f"measure {next(names)}", "step": 1, "value": 0.5} for _ in range(POINTS_A_CALL)]
            body = json.dumps({"phase": "training", "fraction": 0.5, "metrics": points}).encode()
            seat, token = self.credentials["seats"][0]
            path = f"/api/v1/participations/{seat}/progress"
            await self.post("POST", path, body, "Content-Type: application/json", f"Authorization: Bearer {token}")

        for _ in range(POINTS // POINTS_A_CALL):
            with contextlib.suppress(OSError, TimeoutError):
                await report()
        await self.forever(report)

    async def silent_sockets(self) -> None:
        """Websockets of one signed-in user, who asks for everything and reads nothing."""
        await asyncio.gather(*(self.forever(self._silent_socket) for _ in range(SOCKETS)))

    async def _silent_socket(self) -> None:
        async with self.connected() as (reader, writer):
            key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
            upgrade = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", key)
            origin = f"Origin: http://127.0.0.1:{self.credentials['port']}"
            cookie = f"Cookie: {self.credentials['cookie']}"
            path = f"/ws/sessions/{self.credentials['session']}/"
            writer.write(self.head("GET", path, *upgrade, origin, cookie))
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_SECONDS)
            while not writer.transport.is_closing():
                text = b'{"after": 0}'
                writer.write(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)  # masked with zeros
                await writer.drain()
                writer.transport.pause_reading()  # type: ignore[attr-defined]
                await asyncio.sleep(5)

    async def half_uploads(self) -> None:
        """Many clients send half an update each, and then a byte now and then."""
        seats = self.credentials["seats"]
        await asyncio.gather(*(self.forever(lambda s=s, t=t: self._half_upload(s, t)) for s, t in seats))

    async def _half_upload(self, seat: str, token: str) -> None:
        size, path = self.credentials["update_bytes"], f"/api/v1/participations/{seat}/update"
        fields = ("Tus-Resumable: 1.0.0", f"Authorization: Bearer {token}", f"Upload-Length: {size}")
        with contextlib.suppress(TimeoutError):
            await self.post("POST", path, b"", *fields)
        async with self.connected() as (reader, writer):
            kind = "Content-Type: application/offset+octet-stream"
            writer.write(self.head("PATCH", path, *fields, kind, "Upload-Offset: 0", f"Content-Length: {size}"))
            writer.write(bytes(size // 2))
            await writer.drain()
            while not reader.at_eof():
                writer.write(b"\0")
                await writer.drain()
                await asyncio.sleep(5)

    async def sign_ins(self) -> None:
        """Wrong passwords, SIGN_INS_A_MINUTE."""
        pending: set[asyncio.Task[None]] = set()
        while True:
            task = asyncio.create_task(self._sign_in())
            pending.add(task)
            task.add_done_callback(pending.discard)
            await asyncio.sleep(60 / SIGN_INS_A_MINUTE)

    async def _sign_in(self) -> None:
        with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
            token = "a" * 32
            form = urlencode({"username": "alice", "password": "wrong", "csrfmiddlewaretoken": token}).encode()
            kind = "Content-Type: application/x-www-form-urlencoded"
            await self.post("POST", "/sign-in/", form, kind, f"Cookie: fl_csrf={token}")


ATTACKS = (
    "endless_bodies",
    "half_headers",
    "unknown_members",
    "many_points",
    "silent_sockets",
    "half_uploads",
    "sign_ins",
)


async def nobody(port: int) -> None:
    async def keep(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await asyncio.sleep(10**6)

    server = await asyncio.start_server(keep, "127.0.0.1", port, backlog=2000)
    await server.serve_forever()


def main() -> None:
    name, port = sys.argv[1], int(sys.argv[2])
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if name == "nobody":
        asyncio.run(nobody(port))
    attacker = Attacker(port, json.loads(Path(sys.argv[3]).read_text()))
    asyncio.run(getattr(attacker, name)())


if __name__ == "__main__":
    main()
