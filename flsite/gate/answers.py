"""The headers of every answer, and the gate's own refusals."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from federation.api import problems
from federation.api.draining import draining
from federation.api.raw import Scope, Send
from federation.errors import Refused
from federation.fl.version import __version__
from flsite.gate.bodies import Body

Header = tuple[bytes, bytes]
PERMISSIONS = "camera=(), geolocation=(), microphone=(), payment=(), usb=()"
ALWAYS: list[Header] = [(b"x-content-type-options", b"nosniff"), (b"permissions-policy", PERMISSIONS.encode())]
BY_HTTPS: Header = (b"strict-transport-security", b"max-age=31536000")
OURS: Header = (b"fl-server-version", __version__.encode())
NOT_KEPT: Header = (b"cache-control", b"no-store")
CLOSE: Header = (b"connection", b"close")


BEHIND_PROXY: bool = settings.FL_BEHIND_PROXY  # read once: each answer asks for it
HEALTH = ("/healthz", "/readyz", "/systemz", "/metrics")


def is_api(path: str) -> bool:
    return path.startswith("/api/") or path in HEALTH


_WANTED = {
    (api, https): [*ALWAYS, NOT_KEPT] + [OURS] * api + [BY_HTTPS] * https
    for api in (False, True)
    for https in (False, True)
}


def missing(path: str, names: set[bytes]) -> list[Header]:
    """The headers that an answer still needs, given the names of those it has."""
    return [header for header in _WANTED[is_api(path), BEHIND_PROXY] if header[0] not in names]


class Answer:
    """One answer on its way to the server. `status` is 0 until it begins."""

    __slots__ = ("status", "body", "_path", "_send")

    def __init__(self, scope: Scope, send: Send) -> None:
        self.status = 0
        self.body: Body | None = None  # the request's
        self._path: str = scope["path"]
        self._send = send

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = self._complete(message.get("headers", ()))
        await self._send(message)

    def _complete(self, given: Any) -> list[Header]:
        headers: list[Header] = list(given)
        names = {name.lower() for name, _ in headers}
        headers += missing(self._path, names)
        body = self.body
        cut = body is not None and not body.whole and body.ends_connection
        if (cut or draining.begun) and b"connection" not in names:
            headers.append(CLOSE)
        return headers

    async def refuse(self, refusal: Refused) -> None:
        """Answer with a problem document to programs, and with a sentence to browsers."""
        if is_api(self._path):
            kind, body = problems.CONTENT_TYPE, problems.of(refusal)
        else:
            kind, body = "text/plain; charset=utf-8", f"{refusal.title}. {refusal}\n".encode()
        headers = {"Content-Type": kind, "Content-Length": str(len(body))} | refusal.headers
        if refusal.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": refusal.status, "headers": pairs})
        await self.send({"type": "http.response.body", "body": body})
