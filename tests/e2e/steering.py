"""Sessions whose rounds stay open for an agent that is frozen, and what the API tells of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Page, expect

from tests.e2e.stack import Stack

Held = Callable[..., str]


@contextmanager
def holding(stack: Stack, page: Page) -> Iterator[Held]:
    """Opens the page of a session whose round has site-1's update and waits for site-2; ends it afterwards."""
    made: list[str] = []

    def hold(name: str, **change: Any) -> str:
        settings = {"rounds": 3, "quorum": 1, "cohort_size": 2}
        session = stack.session(name=name, round_seconds=600, **settings | change)
        made.append(session)
        page.goto(f"{stack.url}/sessions/{session}/")
        if change.get("start", True):
            waits(page, 1)
        return session

    yield hold
    for session in made:
        stack.post(f"/sessions/{session}/cancel")


def waits(page: Page, number: int) -> None:
    expect(page.locator(f"#now[data-round='{number}'][data-round-status=collecting]")).to_be_visible(timeout=60_000)
    expect(page.locator(".lane[data-client=site-1]")).to_have_attribute("data-status", "reported", timeout=60_000)


def effect(page: Page, act: str, said: str | re.Pattern[str]) -> None:
    """What the button says that it will do."""
    expect(page.locator(f"#act-{act} .action__effect")).to_contain_text(said)


def status(stack: Stack, session: str) -> str:
    return stack.get(f"/sessions/{session}")["status"]


def seat(stack: Stack, session: str, number: int, name: str) -> dict[str, Any]:
    rounds = stack.get(f"/sessions/{session}/rounds")["items"]
    seats = next(one for one in rounds if one["number"] == number)["participations"]
    return next(one for one in seats if one["client"]["name"] == name)


def versions(stack: Stack, session: str) -> list[int]:
    return [one["version"] for one in stack.get(f"/sessions/{session}/models")["items"]]
