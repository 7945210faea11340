"""Errors as RFC 9457 problem details."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from django.http import HttpResponse

from federation.errors import Invalid, Refused

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
