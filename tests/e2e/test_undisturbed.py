"""Whatever a page went through, its curves are in the end those of a page that nothing happened to: by their data."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import Browser, Page, Route

from dashboard.pages.session.curves import estimated
from tests.e2e.browser import chromium, needs_browser, sign_in
from tests.e2e.stack import Stack, until
from tests.e2e.wire import Wire, wire_to

pytestmark = needs_browser
NAMES = ("site-1", "site-2")
HOUR = 3_600_000  # ms
# Of the batches that it commits, 64 may wait for a browser.
WRITER = """
import random
from django.db import transaction
from django.utils import timezone
from federation.models import Participation, Phase
from federation.services.seats import progress
open_seats = Participation.objects.filter(round__session={session}, status="training")
seats = list(open_seats.select_related("round", "client"))
for start in range({first}, {end}, 8):
    with transaction.atomic():
        for step in range(start, min(start + 8, {end}), 2):
            for seat in seats:
                now = timezone.now()
                points = [progress.Point("train_loss", step + k, random.random(), now) for k in range(2)]
                progress.report(seat, phase=Phase.TRAINING, fraction=(step + 2) / 20_000, points=points, now=now)
"""
LISTEN = """() => {
  const banner = document.querySelector("[data-stale]"), text = document.querySelector("[data-stale-text]");
  const note = () => { window.told ??= text.textContent || undefined; };
  new MutationObserver(note).observe(banner, { subtree: true, childList: true });
}"""
DATA = """() => {
  const plain = (column) => Array.from(column, (v) => (Number.isFinite(v) ? v : null));
  const node = document.querySelector("#curves");
  return [node.dataset.points, ...(node.data ?? []).map((trace) => [trace.name, plain(trace.x), plain(trace.y)])];
}"""


class Report:
    """Writes what two clients report, from a process beside the server. Points go on where the last ones ended."""

    def __init__(self, stack: Stack, session: str):
        self.stack, self.session, self.next = stack, session, 1

    def __call__(self, events: int) -> None:
        end = self.next + 2 * events
        self.stack.shell(WRITER.format(session=self.session, first=self.next, end=end))
        self.next = end

    @property
    def counts(self) -> dict[str, int]:
        return {f"{name}-{self.session}": self.next - 1 for name in NAMES}


@pytest.fixture
def wire(shared_stack: Stack) -> Iterator[Wire]:
    with wire_to(shared_stack.port) as wire:
        yield wire


@pytest.fixture
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def opened(browser: Browser, base: str, session: str, *, prepare: Callable[[Page], None] = lambda page: None) -> Page:
    """A browser of its own, so that what stops one page stops no other."""
    page = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce").new_page()
    prepare(page)
    sign_in(page, base)
    page.goto(f"{base}/sessions/{session}/")
    until(lambda: page.evaluate("document.querySelector('#curves').dataset.ready === 'true'"), why="the points")
    return page


@pytest.fixture
def session(shared_stack: Stack) -> Iterator[str]:
    """A session of two clients that took their work."""
    stack = shared_stack
    session = stack.session(quorum=2, rounds=1)
    heads = []
    for name in NAMES:
        body = {"join_code": stack.join_code, "name": f"{name}-{session}", "info": {}}
        token = requests.post(f"{stack.url}/api/v1/enroll", json=body, timeout=30).json()["token"]
        heads.append({"Authorization": f"Bearer {token}"})
    for head in heads:
        until(lambda head=head: work(stack, head), why="work for both")  # type: ignore[misc]
    yield session
    stack.post(f"/sessions/{session}/cancel")
    for client in stack.get("/clients")["items"]:
        stack.http.patch(f"{stack.url}/api/v1/clients/{client['id']}", json={"enabled": False}, timeout=30)


def work(stack: Stack, head: dict[str, str]) -> bool:
    return requests.get(f"{stack.url}/api/v1/work?wait=1", headers=head, timeout=30).status_code == 200


@pytest.fixture
def report(shared_stack: Stack, session: str) -> Report:
    return Report(shared_stack, session)


def data(page: Page) -> list[Any]:
    found: list[Any] = page.evaluate(DATA)
    return found


def counts(page: Page) -> dict[str, int]:
    return json.loads(page.evaluate("document.querySelector('#curves').dataset.points") or "{}")


def same(one: Page, other: Page, report: Report, *, axes: tuple[str, ...] = ("round",)) -> None:
    """Both show every point, and the same at every place of the axes."""
    for axis in axes:
        for page in (one, other):
            page.evaluate(f"document.querySelector('[name=x][value={axis}]').click()")

        def alike() -> bool:  # looks at all of the data only once they may be
            return counts(one) == counts(other) == report.counts and data(one) == data(other)

        until(alike, seconds=30, why=f"the same curves of {report.counts} by {axis}")
    assert json.loads(data(one)[0]) == report.counts
    assert len(data(one)) >= 5, "as reported and smoothed, for both clients"


def shown(page: Page) -> str:
    return page.locator("[data-conn]").first.inner_text()


def frozen(page: Page, state: str) -> None:
    page.context.new_cdp_session(page).send("Page.setWebLifecycleState", {"state": state})


def test_reload_cut_freeze_and_restart_leave_the_curves_of_an_undisturbed_page(
    shared_stack: Stack, session: str, report: Report, browser: Browser, wire: Wire
) -> None:
    stack = shared_stack
    report(50)
    calm = opened(browser, stack.url, session)
    page = opened(browser, f"http://127.0.0.1:{wire.port}", session)
    same(page, calm, report)

    page.reload()
    report(50)
    same(page, calm, report)

    assert wire.cut() >= 1
    report(50)
    same(page, calm, report)

    frozen(page, "frozen")
    report(600)
    frozen(page, "active")
    same(page, calm, report)

    stack.kill("web")
    until(lambda: "old" in shown(page), why="the page to say that its data is old")
    report(50)  # by another process, while no server runs
    stack.start("web")
    same(page, calm, report)
    same(page, opened(browser, stack.url, session), report, axes=("time", "step", "epoch", "round"))
    shared = [(last, last / total) for total in (3, 317, 10_000, 123_457) for last in (1, total // 3, total - 1)]
    address = page.evaluate("document.querySelector('script[src*=session]').src.replace(/session[^/]*$/, '')")
    said = page.evaluate(
        "async ([base, pairs]) => { const entry = performance.getEntriesByType('resource').map((e) => e.name)"
        ".find((name) => name.startsWith(base + 'series')); const { estimated } = await import(entry);"
        " return pairs.map(([last, fraction]) => estimated(last, fraction)); }",
        [address, shared],
    )
    assert said == [estimated(last, fraction) for last, fraction in shared]


def test_a_lid_that_was_closed_for_an_hour_leaves_no_gap(
    shared_stack: Stack, session: str, report: Report, browser: Browser, wire: Wire
) -> None:
    report(50)
    calm = opened(browser, shared_stack.url, session)
    page = opened(browser, f"http://127.0.0.1:{wire.port}", session, prepare=lambda page: page.clock.install())
    same(page, calm, report)

    assert wire.swallow() >= 1  # the server gave up the connection while the machine slept, and the browser never heard
    report(600)
    page.evaluate(LISTEN)
    page.clock.fast_forward(HOUR)
    same(page, calm, report, axes=("time", "round"))
    assert "1 h" in page.evaluate("window.told")
    until(lambda: shown(page) == "Live", why="the page to be live again")

    assert wire.swallow() >= 1  # without a gap in time: the page asks by itself whether the server is still there
    report(50)
    for _ in range(3):
        page.clock.run_for(15_000)
    same(page, calm, report)


def test_what_happens_while_the_page_s_scripts_are_on_their_way_is_on_it(
    shared_stack: Stack, session: str, report: Report, browser: Browser
) -> None:
    report(50)

    def meanwhile(route: Route) -> None:
        """The largest script comes only after more was reported and the session was cancelled."""
        report(50)
        shared_stack.post(f"/sessions/{session}/cancel")
        time.sleep(1)
        route.continue_()

    page = opened(browser, shared_stack.url, session, prepare=lambda page: page.route("**/vendor/plotly*", meanwhile))
    same(page, opened(browser, shared_stack.url, session), report)
    until(lambda: "Cancelled" in page.locator("main").inner_text(), why="the page to say that it was cancelled")
