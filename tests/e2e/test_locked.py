"""A database file that somebody else has locked: everybody waits, the page says so, and all goes on by itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
import requests
from playwright.sync_api import Page, sync_playwright

from tests.e2e.stack import PASSWORD, Stack, assert_nothing_counted_twice, until
from tests.e2e.test_browser import CHROME, FLAGS

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROME is None, reason="no Chrome or Chromium is installed")]


@contextmanager
def locked(stack: Stack) -> Iterator[None]:
    with closing(sqlite3.connect(stack.folder / "db.sqlite3", isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        yield


@contextmanager
def signed_in(stack: Stack) -> Iterator[Page]:
    """A browser on the overview."""
    with sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=CHROME, args=FLAGS).new_page()
        page.goto(stack.url)
        page.fill("[name=username]", "alice")
        page.fill("[name=password]", PASSWORD)
        page.click("form button")
        page.wait_for_selector("#overview")
        yield page


def ready(stack: Stack) -> dict[str, bool]:
    return {check["name"]: check["ok"] for check in requests.get(f"{stack.url}/readyz", timeout=10).json()["checks"]}


def test_a_locked_database_is_waited_for_and_every_page_says_so(stack: Stack):
    for n in (1, 2):
        stack.agent(f"site-{n}")
    stack.online(2)
    session = stack.session(rounds=300)
    until(lambda: stack.get(f"/sessions/{session}")["completed_rounds"] >= 2)
    with signed_in(stack) as page:
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
