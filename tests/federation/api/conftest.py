"""Calls of the API: Django's test client for JSON, a small ASGI client for the raw routes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client as Browser

from federation.api.raw import RawRoutes
from federation.api.urls import RAW_ROUTES, TABLES
from tests.federation.asgi import Answer, request
from tests.federation.cast import token_of


@pytest.fixture
def call() -> Callable[..., HttpResponse]:
    """Call a JSON route, with a token or none. A body that is no bytes is sent as JSON."""

    def call(
        method: str, path: str, body: Any = None, *, token: str | None = None, headers: Mapping[str, str] | None = None
    ) -> HttpResponse:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        given = dict(headers or {}) | ({"Authorization": f"Bearer {token}"} if token else {})
        return Browser(raise_request_exception=False).generic(
            method, f"/api/v1{path}", raw, content_type="application/json", headers=given
        )

    return call


@pytest.fixture
def operator(call: Callable[..., HttpResponse], key: str) -> Callable[..., HttpResponse]:
    """Alice's script calls a JSON route."""

    def operator(method: str, path: str, body: Any = None) -> HttpResponse:
        return call(method, path, body, token=key)

    return operator


async def django(*_: Any) -> None:
    raise AssertionError("not a raw route")


application = RawRoutes(RAW_ROUTES | TABLES, otherwise=django)


@pytest.fixture
def raw(transactional_db: None) -> Callable[..., Answer]:
    """Call a raw route as a client, by its name, or as whoever a token stands for."""

    def raw(method: str, path: str, body: Any = b"", *, by: str | None = None, **more: Any) -> Answer:
        token = token_of(by) if by else None
        return asyncio.run(request(application, method, path, body, **{"token": token} | more))

    return raw


def problem(answer: Any, status: int, *, field: str | None = None) -> str:
    """The sentence of a refusal, which has this status and the form of RFC 9457."""
    status_code = answer.status if isinstance(answer, Answer) else answer.status_code
    body = json.loads(answer.body if isinstance(answer, Answer) else answer.content)
    headers = answer.headers
    assert status_code == status, body
    assert headers["content-type"] == "application/problem+json"
    assert body["status"] == status and body["type"] and body["title"]
    assert len(body["detail"]) > 10, "a sentence for a person"
    if status == 401:
        assert headers["www-authenticate"] == "Bearer"
    if status == 422:
        fields = [error["field"] for error in body["errors"]]
        assert all(error["detail"] for error in body["errors"])
        assert field is None or field in fields, fields
    return body["detail"]
