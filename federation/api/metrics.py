"""`/metrics` for Prometheus, for whoever shows FL_METRICS_TOKEN. Without that setting there is no such address."""

from __future__ import annotations

import asyncio
import secrets

from django.conf import settings
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from federation import meters
from federation.api import auth
from federation.api.raw import Elsewhere, Exchange
from federation.api.threads import at_length
from federation.errors import Unauthorized, Unavailable
from federation.services.figures import figures

PATIENCE_SECONDS = 8.0  # below the 10 s that Prometheus waits


async def get(exchange: Exchange) -> None:
    if not settings.FL_METRICS_TOKEN:
        raise Elsewhere
    given = auth.bearer(exchange.headers) or ""
    if not secrets.compare_digest(given.encode(), settings.FL_METRICS_TOKEN.encode()):
        raise Unauthorized("Send FL_METRICS_TOKEN as a bearer token.")
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await at_length(figures.look)
    except TimeoutError:
        raise Unavailable("The database locks up.", headers={"Retry-After": "10"}) from None
    headers = {"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"}
    await exchange.answer(200, headers, generate_latest(meters.registry))


ROUTES = {"/metrics": {"GET": get, "HEAD": get}}
