"""A person's browser: curves grow while clients train, and survive a reload, a cut and a restart."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import needs_browser, signed_in
from tests.e2e.proxy import proxy_to
from tests.e2e.stack import Stack, until
from tests.e2e.wire import Wire, wire_to

pytestmark = needs_browser
DIGITS = {"name": "digits", "options": {}}


@pytest.fixture
def wire(stack: Stack) -> Iterator[Wire]:
    with wire_to(stack.port) as wire:
        yield wire


@pytest.fixture
def page(wire: Wire) -> Iterator[Page]:
    with signed_in(f"http://127.0.0.1:{wire.port}") as page:
        yield page


def drawn(page: Page) -> dict[str, int]:
    """How many points of the chosen metric each curve has."""
    node = page.locator("[data-points]").first
    return json.loads(node.get_attribute("data-points", timeout=10_000) or "{}")


def reported(stack: Stack, session: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    after = "0"
    while after:
        answer = stack.get(f"/sessions/{session}/metrics", limit=1000, after=after)
        for point in answer["items"]:
            if point["name"] == "train_loss":
                counts[point["client"]["name"]] = counts.get(point["client"]["name"], 0) + 1
        after = answer["next"]
    return counts


def slow_sites(stack: Stack) -> Path:
    """Two agents, each of which trains until the file that is returned is there."""
    go = stack.slow_agents()
    for n in (1, 2):
        stack.agent(f"site-{n}")
    stack.online(2)
    return go


def test_curves_grow_live_and_survive_a_reload_a_cut_and_a_restart(stack: Stack, page: Page, wire: Wire):
    go = slow_sites(stack)
    session = stack.session(rounds=3, cohort_size=2)
    page.goto(f"http://127.0.0.1:{wire.port}/sessions/{session}/")
    until(lambda: set(drawn(page)) == {"site-1", "site-2"}, why="a curve for each client")
    before = drawn(page)
    until(lambda: drawn(page).get("site-1", 0) > before.get("site-1", 0), seconds=20, why="the curve to grow by itself")
    page.reload()
    until(lambda: drawn(page).get("site-1", 0) > before.get("site-1", 0), why="live again after the reload")
    assert wire.cut() >= 1
    at_the_cut = drawn(page)
    until(
        lambda: drawn(page).get("site-1", 0) > at_the_cut.get("site-1", 0),
        seconds=20,
        why="the curve to grow after the cut",
    )
    stack.kill("web")
    stack.start("web")
    go.touch()
    assert stack.ended(session)["status"] == "completed"
    expected = reported(stack, session)
    until(lambda: drawn(page) == expected, seconds=30, why=f"all points of {expected}; drawn: {drawn(page)}")
    page.reload()
    until(lambda: drawn(page) == expected, seconds=15, why="the same after a reload")


def test_where_no_websocket_gets_through_the_page_asks_and_says_so(stack: Stack):
    for n in (1, 2):
        stack.agent(f"site-{n}", "--partition", "iid", "--shard", f"{n}/2")
    stack.online(2)
    with proxy_to(stack.port) as proxy, signed_in(proxy.url) as page:
        proxy.upgrades = False
        session = stack.session(workload=DIGITS, rounds=40, cohort_size=2, train={"epochs": 6})
        page.goto(f"{proxy.url}/sessions/{session}/")
        state = page.locator("[data-conn] .conn__text")
        expect(state).to_have_text("No live connection: asking every 5 s", timeout=15_000)
        until(lambda: set(drawn(page)) == {"site-1", "site-2"}, why="a curve for each client")
        before = drawn(page)
        until(lambda: drawn(page).get("site-1", 0) > before.get("site-1", 0), seconds=20, why="the curve to grow")
        assert proxy.answered["upgrade"] >= 2 and page.locator("[data-stale]").is_hidden()
        proxy.upgrades = True
        expect(state).to_have_text("Live", timeout=40_000)
        stack.post(f"/sessions/{session}/cancel")
        # Agents report a last time when they hear of it.
        until(lambda: drawn(page) == reported(stack, session), seconds=60, why="all points")


def test_every_page_opens_without_a_word_in_the_console(stack: Stack, page: Page, wire: Wire):
    session = stack.session(start=False)
    for path in ("/", "/sessions/", f"/sessions/{session}/", "/sessions/new/", "/clients/"):
        answer = page.goto(f"http://127.0.0.1:{wire.port}{path}")
        assert answer and answer.ok, path
        page.wait_for_timeout(300)
    assert page.said == []  # type: ignore[attr-defined]
