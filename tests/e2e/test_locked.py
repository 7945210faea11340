"""A database file that somebody else has locked: everybody waits, the page says so, and all goes on by itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import requests

from tests.e2e.browser import needs_browser, signed_in
from tests.e2e.stack import Stack, assert_nothing_counted_twice, until

pytestmark = needs_browser


@contextmanager
def locked(stack: Stack) -> Iterator[None]:
    with closing(sqlite3.connect(stack.folder / "db.sqlite3", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield


def ready(stack: Stack) -> dict[str, bool]:
    return {check["name"]: check["ok"] for check in stack.http.get(f"{stack.url}/systemz", timeout=10).json()["checks"]}


def test_a_locked_database_is_waited_for_and_every_page_says_so(stack: Stack):
    for n in (1, 2):
        stack.agent(f"site-{n}")
    stack.online(2)
    session = stack.session(rounds=300)
    until(lambda: stack.get(f"/sessions/{session}")["completed_rounds"] >= 2)
    with signed_in(stack.url) as page:
        assert page.locator("[data-trouble]").count() == 0
        with locked(stack):
            page.wait_for_selector("[data-trouble=worker]", timeout=40_000)
            assert ready(stack) == {"database": True, "storage": True, "worker": False}
            assert requests.get(f"{stack.url}/healthz", timeout=10).status_code == 200
            before = stack.get(f"/sessions/{session}")["completed_rounds"]
        page.wait_for_selector("[data-trouble]", state="detached", timeout=40_000)
    until(lambda: stack.get(f"/sessions/{session}")["completed_rounds"] > before + 2)
    assert all(ready(stack).values())
    stack.post(f"/sessions/{session}/cancel")
    assert_nothing_counted_twice(stack, session)
