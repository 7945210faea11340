"""`GET /api/v1/sessions/<id>/metrics?format=csv`: every point of every curve, read and sent in pieces."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

from django.db.models import F
from pydantic import ValidationError

from federation.api import problems, rows, schemas
from federation.api.auth import bearer, browser_user, operator_of, principal_of
from federation.api.head import Head
from federation.api.raw import Elsewhere, Exchange
from federation.api.threads import in_thread
from federation.errors import NotFound, Unauthorized
from federation.models import Metric, TrainingSession

ROWS = 1000  # read and sent at a time
HEADER = ("client", "round", "attempt", "name", "step", "value", "time")


async def get_metrics(exchange: Exchange) -> None:
    """The table as CSV. Django answers requests for JSON."""
    if not _wants_csv(exchange.query):
        raise Elsewhere
    session_id = int(exchange.path["session_id"])
    await in_thread(_check, exchange.head, session_id)
    with exchange.going_on_as(principal_of(exchange.headers)):
        await exchange.begin(
            200, {"Content-Type": "text/csv; charset=utf-8", "Content-Disposition": _disposition(session_id)}
        )
        pieces = _lines(session_id)
        while piece := await in_thread(next, pieces, b""):
            await exchange.send(piece, last=False)
        await exchange.send(b"", last=True)


def _wants_csv(query: bytes) -> bool:
    asked = {name: values[-1] for name, values in parse_qs(query.decode("latin-1"), keep_blank_values=True).items()}
    if asked.get("format") != "csv":
        return False
    try:
        schemas.MetricPaging.model_validate(asked)
    except ValidationError as error:
        raise problems.invalid(error.errors()) from None
    return True


def _check(head: Head, session_id: int) -> None:
    """Raises as `operator_of` does unless an operator calls, and NotFound for an unknown session."""
    token = bearer(head.headers)
    if token is not None:
        operator_of(token, head)
    elif browser_user(head.headers) is None:
        raise Unauthorized("This needs the header Authorization: Bearer <API key>, or a signed-in browser.")
    if not TrainingSession.objects.filter(pk=session_id).exists():
        raise NotFound(f"There is no session {session_id}.")


def _disposition(session_id: int) -> str:
    return f'attachment; filename="session-{session_id}-metrics.csv"'


def _lines(session_id: int) -> Iterator[bytes]:
    """The table in pieces, each of one short query."""
    yield _written([HEADER])
    found = Metric.objects.filter(session=session_id, participation__round__kind=F("session__kind")).order_by("pk")
    found = found.select_related("participation__client", "participation__round")
    last = 0
    while some := list(found.filter(pk__gt=last)[:ROWS]):
        yield _written(_line(rows.metric(point)) for point in some)
        last = some[-1].pk


def _line(p: dict[str, Any]) -> tuple[object, ...]:
    value = "" if p["value"] is None else repr(p["value"])
    name, metric = _unquoted(p["client"]["name"]), _unquoted(p["name"])
    return name, p["round"], p["attempt"], metric, p["step"], value, p["time"].isoformat()


def _written(table: Iterable[Iterable[object]]) -> bytes:
    out = io.StringIO()
    csv.writer(out).writerows(table)
    return out.getvalue().encode()


def _unquoted(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text
