"""The page of the first start cancels no navigation of the person."""

from __future__ import annotations

import threading

from playwright.sync_api import Route

from tests.e2e.browser import needs_browser, signed_in
from tests.e2e.stack import Stack

pytestmark = needs_browser


def test_the_first_session_cancels_no_navigation(stack: Stack) -> None:
    with signed_in(stack.url, width=1440) as page:
        page.wait_for_selector("h1 >> text=Train one model together")
        refreshed = threading.Event()
        page.on("response", lambda answer: refreshed.set() if answer.headers.get("hx-refresh") else None)

        def slowly(route: Route) -> None:
            stack.session(rounds=1, quorum=1)  # the page hears of it, and is told to become the overview
            page.wait_for_timeout(4000)
            route.continue_()

        page.route("**/sessions/new/", slowly)
        page.click("text=Choose other settings", no_wait_after=True)
        page.wait_for_url("**/sessions/new/", timeout=60_000)
        assert refreshed.is_set()
        page.wait_for_selector("h1")


def test_the_first_page_becomes_the_overview(stack: Stack) -> None:
    with signed_in(stack.url, width=1440) as page:
        page.wait_for_selector("h1 >> text=Train one model together")
        stack.session(rounds=1, quorum=1)
        page.wait_for_selector("h1 >> text=Overview", timeout=60_000)
