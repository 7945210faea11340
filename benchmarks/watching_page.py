"""A session's page in headless Chromium while clients work for it: how soon it opens, its curves, its long tasks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks import page as pages
from benchmarks.without_debugger import long_tasks
from tests.e2e.stack import Stack, until

OPENS_SECONDS = 6


@dataclass
class Watched:
    """seconds: from the request to drawn curves. painted: to numbers, state and reasons. Tasks of more than 50 ms, in
    ms: opening, while a new browser opened the page; the same with a debugger; watching, until the session ended;
    again, of a second visit.
    """

    seconds: float
    painted: float
    curves: int
    clients: int  # that took part
    opening: list[float]
    opening_debugged: list[float]
    watching: list[float]
    seconds_again: float
    again: list[float]

    @property
    def longest(self) -> float:
        return max([*self.opening, *self.watching, *self.again], default=0.0)


def watch(stack: Stack, launch: Callable[[], str]) -> Watched:
    """Launch a session and watch it from its second round until it ends."""
    chrome = next(filter(None, map(shutil.which, pages.BROWSERS)), None)
    if chrome is None:
        raise SystemExit("No Chrome or Chromium is installed.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chrome, args=pages.FLAGS)
        try:
            return _watched(stack, browser, launch(), chrome)
        finally:
            browser.close()


def _watched(stack: Stack, browser: Browser, session: str, chrome: str) -> Watched:
    page = pages.signed_in(stack, browser)
    cookies = {str(one.get("name")): str(one.get("value")) for one in page.context.cookies()}
    until(lambda: len(_rounds(stack, session)) > 1, seconds=600, every=0.5, why="the second round")
    opening = long_tasks(chrome, f"{stack.url}/sessions/{session}/", cookies, seconds=OPENS_SECONDS)
    seconds, painted = pages.visited(stack, page, session)
    opening_debugged = _tasks(page)
    ended = stack.ended(session, seconds=3600, every=1.0)
    assert ended["status"] == "completed", ended["reason"]
    clients = len({seat["client"]["id"] for row in _rounds(stack, session) for seat in row["participations"]})
    until(lambda: len(pages.counts(page)) == clients, seconds=60, why=f"curves of {clients} clients")
    watching = _tasks(page)
    again, _ = pages.visited(stack, page, session)
    curves = len(pages.counts(page))
    return Watched(seconds, painted, curves, clients, opening, opening_debugged, watching, again, _tasks(page))


def _rounds(stack: Stack, session: str) -> list[dict[str, Any]]:
    return stack.get(f"/sessions/{session}/rounds", limit=1000)["items"]


def _tasks(page: Page) -> list[float]:
    """The long tasks since the last call, or since the page opened."""
    page.wait_for_timeout(2000)  # the observer hears of them late
    found: list[float] = page.evaluate("longTasks.splice(0)")
    return found


def show(found: Watched) -> None:
    print(f"page, content painted       {found.painted:8.2f} s")
    print(f"page, curves drawn          {found.seconds:8.2f} s; {found.seconds_again:.2f} s when the session had ended")
    print(f"curves                      {found.curves:8} of {found.clients} clients that took part")
    print(f"longest task of opening, with a debugger {max(found.opening_debugged, default=0):6.0f} ms")
    for name, tasks in (("opened", found.opening), ("watched", found.watching), ("opened again", found.again)):
        print(f"{'longest task, ' + name:27} {max(tasks, default=0):8.0f} ms of {len(tasks)} above 50 ms")
