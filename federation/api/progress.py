"""`POST /api/v1/participations/<id>/progress`: what every client that works says once a second."""

from __future__ import annotations

import json
from typing import Any

from django.utils import timezone
from pydantic import ValidationError

from federation.api import limits, problems, schemas
from federation.api.auth import client_in
from federation.api.head import Head
from federation.api.raw import Exchange
from federation.api.threads import in_thread
from federation.services import seats
from federation.services.seats import progress

LIMIT = limits.of("POST", "/api/v1/participations/1/progress")
MAX_BODY_BYTES = LIMIT.known  # far more than the points of one call need


async def post(exchange: Exchange) -> None:
    """How far a piece of work is, with points of its curves. `continue: false` means: drop it."""
    body = await exchange.body(MAX_BODY_BYTES)
    answer = await in_thread(_report, exchange.head, int(exchange.path["seat_id"]), body)
    await exchange.answer(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())


def _report(head: Head, seat_id: int, body: bytes) -> dict[str, Any]:
    client, now = client_in(head), timezone.now()
    given = _parsed(problems.json_of(body, LIMIT))
    points = [progress.Point(p.name, p.step, p.value, p.time or given.sent_at or now) for p in given.metrics]
    timings = given.timings.model_dump(exclude_none=True) if given.timings else None
    seat = seats.of(client, seat_id)
    before = seat.points_left_out
    goes_on = progress.report(
        seat,
        phase=given.phase,
        fraction=given.fraction,
        points=points,
        timings=timings,
        sent_at=given.sent_at,
        now=now,
    )
    left_out = seat.points_left_out - before
    return {"continue": goes_on} | ({"left_out": left_out} if left_out else {})


def _parsed(given: Any) -> schemas.Progress:
    try:
        return schemas.Progress.model_validate(given)
    except ValidationError as error:
        raise problems.invalid(error.errors(include_url=False)) from None
