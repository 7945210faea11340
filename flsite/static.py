"""Static files over ASGI: WhiteNoise finds them and decides the headers, we send them in pieces."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from whitenoise.middleware import WhiteNoiseMiddleware

CHUNK = 256 << 10


class StaticFiles:
    """Answers for static files itself and passes every other request on."""

    def __init__(self, otherwise: Callable[..., Awaitable[None]]) -> None:
        self.otherwise = otherwise
        self.whitenoise = WhiteNoiseMiddleware(lambda request: None)

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        file = self._find(scope["path"]) if scope["method"] in ("GET", "HEAD") else None
        if file is None:
            await self.otherwise(scope, receive, send)
            return
        environ = {
            f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}": value.decode("latin-1")
            for name, value in scope["headers"]
        }
        response = await asyncio.to_thread(file.get_response, scope["method"], environ)
        headers = [(name.lower().encode(), str(value).encode("latin-1")) for name, value in response.headers]
        await send({"type": "http.response.start", "status": int(response.status), "headers": headers})
        await _send_body(response.file, send)

    def _find(self, path: str) -> Any:
        if self.whitenoise.autorefresh:
            return self.whitenoise.find_file(path)
        return self.whitenoise.files.get(path)


async def _send_body(file: Any, send: Any) -> None:
    body = b""
    if file is not None:
        with file:
            while following := file.read(CHUNK):
                if body:
                    await send({"type": "http.response.body", "body": body, "more_body": True})
                body = following
    await send({"type": "http.response.body", "body": body, "more_body": False})
