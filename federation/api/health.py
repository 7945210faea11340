"""`/healthz`, `/readyz` and `/systemz`, for whatever watches over the server. Raw, so that any Host header will do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from django.db import DatabaseError, InterfaceError
from django.utils import timezone

from federation.api import auth
from federation.api.raw import Exchange
from federation.api.seen import seen
from federation.api.threads import at_length
from federation.services import health
from federation.services.health import Check

PATIENCE_SECONDS = 5.0  # a database that locks up answers nobody
HEADERS = {"Content-Type": "application/json", "Cache-Control": "no-store"}


async def alive(exchange: Exchange) -> None:
    """The process serves. Nothing else is looked at, so that an absent database gets no server restarted."""
    await exchange.answer(200, HEADERS, json.dumps({"alive": True}).encode())


async def ready(exchange: Exchange) -> None:
    """200 if this process can answer requests, 503 if it cannot: for what spreads them over several processes."""
    await _tell(exchange, "ready", health.of_process)


async def well(exchange: Exchange) -> None:
    """200 if every part of the server works, 503 if one does not: for what calls somebody."""
    await _tell(exchange, "well", lambda: health.of_system(timezone.now()))


async def _tell(exchange: Exchange, word: str, look: Callable[[], list[Check]]) -> None:
    """The status says it all. Operators also get an entry per part that says what to do."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            found = await at_length(look)
    except TimeoutError:
        detail = f"It did not answer within {PATIENCE_SECONDS:g} s."
        found = [Check("database", detail, "Look what locks it; the server goes on by itself when it is free.")]
    works = all(check.ok for check in found)
    body: dict[str, object] = {word: works}
    if await _may_know(exchange):
        body["checks"] = [_entry(check) for check in found]
    await exchange.answer(200 if works else 503, HEADERS, json.dumps(body).encode())


async def _may_know(exchange: Exchange) -> bool:
    """Whether an operator calls. While the database is away, a key that was valid a moment ago counts."""
    token = auth.bearer(exchange.headers)
    if token and (who := seen.who(token)) and who[0] == "user":
        return True
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await at_length(auth.is_operator, exchange.head)
    except (TimeoutError, DatabaseError, InterfaceError):
        return False


def _entry(check: Check) -> dict[str, str | bool]:
    entry: dict[str, str | bool] = {"name": check.name, "ok": check.ok, "detail": check.detail}
    return entry if check.ok else entry | {"do": check.remedy}


ROUTES = {
    "/healthz": {"GET": alive, "HEAD": alive},
    "/readyz": {"GET": ready, "HEAD": ready},
    "/systemz": {"GET": well, "HEAD": well},
}
