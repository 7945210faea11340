"""Errors as RFC 9457 problem details."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.http import HttpResponse

from federation.api.limits import Limit, check_json
from federation.errors import MOST_ERRORS, Invalid, Refused

OUTER = ("body", "query", "path", "paging", "training", "evaluation")  # where a member lies, not what it is called
CONTENT_TYPE = "application/problem+json"


def body(status: int, detail: str, *, title: str = "", errors: Sequence[tuple[str, str]] = ()) -> bytes:
    """A problem as JSON. `errors` are (field, sentence) pairs."""
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        problem["errors"] = [{"field": field, "detail": sentence} for field, sentence in errors]
    return json.dumps(problem).encode()


def of(refusal: Refused) -> bytes:
    errors = refusal.errors if isinstance(refusal, Invalid) else ()
    return body(refusal.status, str(refusal), title=refusal.title, errors=errors)


def response(refusal: Refused) -> HttpResponse:
    """A refusal as Django's response."""
    headers = dict(refusal.headers)
    if refusal.status == 401:
        headers.setdefault("WWW-Authenticate", "Bearer")
    return HttpResponse(of(refusal), status=refusal.status, content_type=CONTENT_TYPE, headers=headers)


def json_of(body: bytes, limit: Limit) -> Any:
    """Parse JSON. Raises Refused if it is none, or exceeds the route's limit."""
    check_json(body, limit)
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(f"The body is not JSON: {error}.") from None


def invalid(errors: Sequence[Mapping[str, Any]]) -> Invalid:
    """A refusal that names the first members that pydantic found invalid, and counts the others."""
    named = [(_field(error["loc"]), _sentence(error)) for error in errors[:MOST_ERRORS]]
    return Invalid(*named, more=len(errors) - len(named))


def _field(location: tuple[str | int, ...]) -> str:
    """('body', 'body', 'workload', 'name') -> 'workload.name'."""
    parts = [str(part) for part in location]
    while len(parts) > 1 and parts[0] in OUTER:
        parts.pop(0)
    return ".".join(parts)


def _sentence(error: Mapping[str, Any]) -> str:
    field, given = _field(error["loc"]), error.get("input")
    shown = f" It is {given!r}." if isinstance(given, (str, int, float, bool)) and len(repr(given)) < 80 else ""
    return f"{field}: {error['msg']}.{shown}"
