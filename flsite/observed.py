"""What is seen of each request from outside the site: its figures for `/metrics`, and the id that its log lines share.

Only where somebody looks: without FL_METRICS_TOKEN and FL_LOG=json a request costs nothing more.
"""

from __future__ import annotations

import re
import secrets
import time
from typing import Any

from django.conf import settings

from federation import logs, meters
from federation.api.raw import Receive, Scope, Send

# The first that fits names the route. A label for each address would be one for each client.
ROUTES = (
    ("work", re.compile(r"/api/v1/work")),
    ("progress", re.compile(r"/api/v1/participations/\d+/progress")),
    ("update", re.compile(r"/api/v1/participations/\d+/update")),
    ("model", re.compile(r"/api/v1/models/.*")),
    ("api", re.compile(r"/api/.*")),
    ("static", re.compile(r"/static/.*")),
    ("health", re.compile(r"/(healthz|readyz|systemz|metrics)")),
)
PAGE = "page"
OFTEN = frozenset(("work", "progress", "static", "health"))
METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
OTHER = "other"  # a method that anybody made up
HUNG_UP = "none"  # status of a request that was never answered
REQUEST_ID = b"x-request-id"
FITS = re.compile(rb"[\w.-]{1,64}")  # an id that a proxy gave
IDS = re.compile(r"/(?:sessions|ws/sessions)/(\d{1,18})(?:/|$)")


def observed(inner: Any) -> Any:
    if settings.FL_LOG == "json":
        inner = Named(inner)
    return Metered(inner) if settings.FL_METRICS_TOKEN else inner


def route_of(path: str) -> str:
    return next((name for name, pattern in ROUTES if pattern.fullmatch(path)), PAGE)


class Metered:
    """Counts requests and their times, and the open websockets."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            with meters.live_connections.track_inprogress():
                await self.inner(scope, receive, send)
        else:
            await self.inner(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, began = HUNG_UP, time.perf_counter()

        async def noting(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self.inner(scope, receive, noting)
        finally:
            route, method = route_of(scope["path"]), scope["method"]
            meters.requests.labels(route, method if method in METHODS else OTHER, status).inc()
            meters.request_seconds.labels(route).observe(time.perf_counter() - began)


class Named:
    """Gives each request an id, the proxy's if it sent one, and the session that its address names. Logs its answer."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.inner(scope, receive, send)
            return
        with logs.about(**_ids(scope)):
            await self.inner(scope, receive, _logging(scope, send))


def _logging(scope: Scope, send: Send) -> Send:
    """The same, and a line for each answer; of what clients ask often, only for the server's errors."""

    async def logged(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            status = message["status"]
            if status >= 500 or route_of(scope["path"]) not in OFTEN:
                logs.did.info("%s %s: %s", scope["method"], scope["path"], status)
        await send(message)

    return logged


def _ids(scope: Scope) -> dict[str, int | str]:
    given = next((value for name, value in scope["headers"] if name == REQUEST_ID), b"")
    ids: dict[str, int | str] = {"request": given.decode() if FITS.fullmatch(given) else secrets.token_hex(8)}
    if found := IDS.search(scope["path"]):
        ids["session"] = int(found[1])
    return ids
