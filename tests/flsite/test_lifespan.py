"""Servers that speak ASGI's lifespan, such as uvicorn, are told whether the database is ready."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.db import OperationalError

from federation.services import deployment
from flsite import first_start
from flsite.lifespan import lifespan


def answers(*kinds: str) -> list[dict[str, Any]]:
    waiting, sent = [{"type": f"lifespan.{kind}"} for kind in kinds], []

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(lifespan({"type": "lifespan"}, receive, send))
    return sent


@pytest.mark.parametrize("unprepared", [lambda: "", lambda: (_ for _ in ()).throw(OperationalError("it is away"))])
def test_it_starts_on_a_database_that_is_ready_or_away(monkeypatch: pytest.MonkeyPatch, unprepared: Any) -> None:
    monkeypatch.setattr(first_start, "unprepared", unprepared)
    monkeypatch.setattr(deployment, "fault", lambda: "")
    told = [answer["type"] for answer in answers("startup", "shutdown")]
    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_it_does_not_start_without_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = "The database has no tables yet. Run `manage.py migrate` first."
    monkeypatch.setattr(first_start, "unprepared", lambda: sentence)
    assert answers("startup", "shutdown")[0] == {"type": "lifespan.startup.failed", "message": sentence}


def test_it_does_not_start_beside_processes_of_another_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_start, "unprepared", lambda: "")
    monkeypatch.setattr(deployment, "fault", lambda: "It is another folder.")
    assert answers("startup", "shutdown")[0] == {"type": "lifespan.startup.failed", "message": "It is another folder."}


@pytest.mark.django_db
def test_the_database_of_the_tests_is_ready() -> None:
    assert first_start.unprepared() == ""
