"""A person's browser: Chromium without a window, signed in as whoever the tests' servers know."""

from __future__ import annotations

import atexit
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect, sync_playwright

from tests.e2e.stack import PASSWORD, Stack
from tests.run import BROWSERS

CHROME = next(filter(None, map(shutil.which, BROWSERS)), None)
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--process-per-site",
]  # fmt: skip
REFUSED = re.compile(r"status of (409|422)|Status Error Code (409|422)")  # told by the browser, and on the page
WAYS = (  # to join, by their tabs, and what the command of each says; of an invitation for three
    ("docker", "docker run"),
    ("several", "laptop-$n"),
    ("file", "--workloads workloads"),
    ("script", "-- .venv/bin/python train.py"),
    ("many", "--clients 3"),
    ("one", "--name my-site"),
)
needs_browser = [pytest.mark.browser, pytest.mark.skipif(CHROME is None, reason="no Chrome or Chromium is installed")]


_open: list[tuple[Playwright, Browser]] = []  # the one browser that is running
_contexts: dict[str, BrowserContext] = {}  # who is signed in, by the server's address


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser, which runs on for the next who needs one; what was opened in it is closed."""
    browser = _running()
    before = browser.contexts
    try:
        yield browser
    finally:
        for context in browser.contexts:
            if context not in before:
                context.close()


def _running() -> Browser:
    if not _open:
        playwright = sync_playwright().start()
        _open.append((playwright, playwright.chromium.launch(executable_path=CHROME, args=FLAGS)))
    return _open[0][1]


def forget_servers() -> None:
    """Close the pages of servers that have ended."""
    while _contexts:
        _contexts.popitem()[1].close()


def close_chromium() -> None:
    """End the browser, and with it the event loop that Playwright holds this thread in."""
    _contexts.clear()
    while _open:
        playwright, browser = _open.pop()
        browser.close()
        playwright.stop()


atexit.register(close_chromium)


def sign_in(page: Page, base: str) -> None:
    page.goto(base)
    page.fill("[name=username]", "alice")
    page.fill("[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_url(base + "/")


@contextmanager
def signed_in(base: str, *, width: int = 1280, scripts: bool = True, at: str = "/") -> Iterator[Page]:
    """A browser on the overview, or on no page yet where `at` is empty. `said` has the errors of its console.

    Who comes to the same server again is signed in still, and finds the scripts compiled: reading those of the charts
    and checking the password would take longer than most tests.
    """
    if scripts:
        if base not in _contexts:
            _contexts[base] = _running().new_context(reduced_motion="reduce")  # each frame of a motion is work
            _contexts[base].new_page().goto(base + "/static/favicon.svg")  # keeps the process of its pages alive
        with _page(_contexts[base], base, width, at) as page:
            yield page
    else:
        with chromium() as browser, _page(browser.new_context(java_script_enabled=False), base, width, at) as page:
            yield page


@contextmanager
def _page(context: BrowserContext, base: str, width: int, at: str) -> Iterator[Page]:
    before = context.pages
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": 900})
    page.said = []  # type: ignore[attr-defined]
    page.on("console", lambda message: page.said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.said.append(str(error)))
    if not any(cookie["name"] == "fl_session" for cookie in context.cookies(base)):
        sign_in(page, base)
        if not at:
            page.goto("about:blank")  # the page of a first start would become another one in the middle of a test
    elif at:
        page.goto(base + at)
    try:
        yield page
    finally:
        context.clear_cookies(name="theme")
        for one in context.pages:
            if one not in before:
                one.close()


@contextmanager
def pressing(base: str, *, width: int = 1440, at: str = "/") -> Iterator[Page]:
    """Somebody who presses buttons, without a word in the console but for what the page refuses in words."""
    with signed_in(base, width=width, at=at) as page:
        page.set_default_timeout(15_000)
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        yield page
        said = [text for text in page.said if not REFUSED.search(text)]  # type: ignore[attr-defined]
        assert not said, said


def told(page: Page, sentence: str) -> None:
    """Wait for what the page says about an act."""
    toast = page.locator(".toast", has_text=sentence).last
    expect(toast).to_be_visible(timeout=20_000)


def agree(page: Page, question: str) -> None:
    expect(page.locator("#dialog-title")).to_contain_text(question, timeout=10_000)
    page.click("form.dialog button.btn--danger")  # in the dialog, or on a page where scripts are not there yet


LONG_AGO = """
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from federation.services import signins
for key in Session.objects.values_list("pk", flat=True):
    store = SessionStore(key)
    store[signins.ENTERED] = 1.0
    store.save()
"""


def forget_password(stack: Stack) -> None:
    """Let whoever is signed in have entered the password long ago."""
    stack.shell(LONG_AGO)


def enter_password_again(page: Page) -> None:
    """Answer the dialog that asks for it, and see it go or lead on."""
    expect(page.locator("#dialog-title")).to_have_text("Enter your password again", timeout=10_000)
    page.fill("#dialog #password-again", PASSWORD)
    page.click("#dialog >> text=Continue")
    expect(page.locator("#password-again")).not_to_be_visible(timeout=10_000)


def press(page: Page, name: str, value: str) -> None:
    """One of several values that are side by side."""
    page.click(f"label:has([name={name}][value='{value}'])")


@contextmanager
def refreshed(page: Page, part: str) -> Iterator[None]:
    """Meanwhile the part of the page that this selects is fetched anew by itself."""
    page.evaluate("(part) => { document.querySelector(part).dataset.old = ''; }", part)
    yield
    expect(page.locator(f"{part}[data-old]")).to_have_count(0, timeout=20_000)
    expect(page.locator(part)).to_have_count(1)
