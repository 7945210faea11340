"""A small ASGI client for the raw routes: one request and its answer, in pieces and with hang-ups."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Application = Callable[..., Awaitable[None]]
TIMEOUT = 20  # seconds; nothing here takes one


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


async def request(
    application: Application,
    method: str,
    path: str,
    body: bytes | Sequence[bytes] = b"",
    *,
    headers: Mapping[str, str] | None = None,
    token: str | None = None,
    cut: bool = False,
    go_on: Awaitable[Any] | None = None,
    hung_up: asyncio.Event | None = None,
    every: float = 0.0,
) -> Answer:
    """One request. `cut`: the caller is gone after the body's pieces. `go_on` is awaited before the last piece.
    `every`: seconds before each piece.

    `hung_up`: the caller goes away when it is set. An answer of status 0 is none.
    """
    chunks = [body] if isinstance(body, bytes) else list(body)
    waiting = hung_up or asyncio.Event()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not chunks:
            if not cut:
                await waiting.wait()
            return {"type": "http.disconnect"}
        if every:
            await asyncio.sleep(every)
        chunk = chunks.pop(0)
        if not chunks and go_on is not None:
            await go_on
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks) or cut}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async with asyncio.timeout(TIMEOUT):
        await application(_scope(method, path, headers or {}, token), receive, send)
    return _answer(sent)


def _scope(method: str, path: str, headers: Mapping[str, str], token: str | None) -> dict[str, Any]:
    path, _, query = path.partition("?")
    given = dict(headers) | ({"Authorization": f"Bearer {token}"} if token else {})
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in given.items()],
        "client": ("127.0.0.1", 50_000),
        "server": ("testserver", 80),
    }


def _answer(sent: Sequence[dict[str, Any]]) -> Answer:
    if not sent:
        return Answer(0, {}, b"")
    start, *pieces = sent
    assert start["type"] == "http.response.start"
    assert not pieces or not pieces[-1].get("more_body"), "the answer has no end"
    headers = {name.decode().lower(): value.decode("latin-1") for name, value in start["headers"]}
    return Answer(start["status"], headers, b"".join(piece.get("body", b"") for piece in pieces))
