"""`POST /api/v1/participations/<id>/progress`: what every client that works says once a second."""

from __future__ import annotations

import json
from typing import Any

from django.utils import timezone
from pydantic import ValidationError

from federation.api import limits, problems, schemas
from federation.api.auth import client_in
from federation.api.raw import Exchange
from federation.api.threads import in_thread
from federation.services import metrics, seats

LIMIT = limits.of("POST", "/api/v1/participations/1/progress")
MAX_BODY_BYTES = LIMIT.known  # far more than the points of one call take


async def post(exchange: Exchange) -> None:
    """How far a piece of work is, with points of its curves. `continue: false` means: drop it."""
    body = await exchange.body(MAX_BODY_BYTES)
    goes_on = await in_thread(_report, exchange.headers, int(exchange.path["seat_id"]), body)
    answer = json.dumps({"continue": goes_on}).encode()
    await exchange.answer(200, {"Content-Type": "application/json"}, answer)


def _report(headers: dict[str, str], seat_id: int, body: bytes) -> bool:
    client, now = client_in(headers), timezone.now()
    given = _parsed(problems.json_of(body, LIMIT))
    points = [metrics.Point(p.name, p.step, p.value, p.time or now) for p in given.metrics]
    seat = seats.of(client, seat_id)
    return metrics.report(seat, phase=given.phase, fraction=given.fraction, points=points, now=now)


def _parsed(given: Any) -> schemas.Progress:
    try:
        return schemas.Progress.model_validate(given)
    except ValidationError as error:
        raise problems.invalid(error.errors(include_url=False)) from None
