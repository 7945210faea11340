"""What can be pressed on the list of sessions and where sessions are compared."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.browser import needs_browser, press, refreshed
from tests.e2e.sessions import run_a_short_one
from tests.e2e.stack import Stack, until

pytestmark = needs_browser


@pytest.fixture(scope="module")
def stack(used: tuple[Stack, dict[str, str]]) -> Stack:
    return used[0]


@pytest.fixture(scope="module")
def done(used: tuple[Stack, dict[str, str]]) -> dict[str, str]:
    return used[1]


# ---- sessions


def test_sessions_are_narrowed_by_status_and_paged(stack: Stack, done: dict[str, str], page: Page):
    for n in range(26):
        stack.session(name=f"plan-{n}", start=False)
    page.goto(f"{stack.url}/sessions/")
    rows = page.locator("#session-rows tbody tr")
    expect(rows).to_have_count(25)
    page.click("[rel=next]")
    expect(rows.last).to_contain_text("alpha")
    page.click("[rel=prev]")
    expect(rows.first).to_contain_text("plan-25")
    press(page, "status", "draft")
    expect(page.locator("#session-rows h2")).to_have_text("26 sessions")
    page.click("[rel=next]")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("plan-0")
    press(page, "status", "completed")
    expect(rows.last).to_contain_text("alpha")
    for status in ("running", "paused", "failed", "cancelled"):
        press(page, "status", status)
        expect(page.locator("#session-rows")).to_contain_text(f"No session is {status}")
    page.click("#session-rows >> text=Show all")
    expect(rows).to_have_count(25)
    press(page, "status", "completed")
    press(page, "status", "")
    expect(rows).to_have_count(25)
    assert page.url == f"{stack.url}/sessions/"
    page.click("#session-rows tbody th a >> text=plan-25")
    expect(page.locator("h1")).to_have_text("plan-25")
    page.click(".crumbs a")
    page.click("main >> text=New session")
    expect(page.locator("h1")).to_have_text("New session")


def test_sessions_stay_ticked_while_their_list_is_refreshed(stack: Stack, done: dict[str, str], page: Page):
    page.goto(f"{stack.url}/sessions/?status=completed")
    for name in ("alpha", "beta"):
        page.check(f"#choose-{done[name]}")
    with refreshed(page, "#session-rows"):
        run_a_short_one(stack)
    page.uncheck(f"#choose-{done['beta']}")
    with refreshed(page, "#session-rows"):
        run_a_short_one(stack)
    expect(page.locator("#session-rows :checked")).to_have_count(1)
    page.click("#compare-chosen")
    page.wait_for_url(f"**/compare/?s={done['alpha']}")


def test_a_status_that_is_pressed_wins_over_a_refresh_meanwhile(stack: Stack, done: dict[str, str], page: Page):
    page.goto(f"{stack.url}/sessions/")
    held: list[Route] = []
    page.route("**/sessions/rows/?status=failed", lambda route: held.append(route))
    press(page, "status", "failed")
    until(lambda: page.evaluate("1") and held, why="the press")
    page.evaluate("document.body.dispatchEvent(new CustomEvent('sessions-changed'))")
    page.evaluate("fetch('/find/').then((answer) => answer.text())")  # a refresh would be answered by now
    with page.expect_response("**/sessions/rows/?status=failed&page=1"):  # it comes afterwards
        held[0].continue_()
    expect(page.locator("#session-rows")).to_contain_text("No session is failed")


# ---- comparing sessions


def axis(page: Page, name: str, what: str) -> object:
    return page.evaluate("([name, what]) => document.getElementById('overlay').layout[name][what]", [name, what])


def test_sessions_are_added_looked_at_and_taken_out(stack: Stack, done: dict[str, str], page: Page):
    page.goto(f"{stack.url}/compare/")
    page.click("main >> text=Choose from the list")
    page.wait_for_url("**/sessions/")
    page.go_back()
    page.click("#add-session-go")  # nothing is chosen
    page.wait_for_url("**/compare/?")
    page.select_option("#add-session", done["alpha"])
    page.wait_for_selector("#overlay[data-lines='1']")
    press(page, "x", "bytes")
    press(page, "y", "log")
    page.select_option("#overlay-metric", label="loss, central")
    page.select_option("#add-session", done["beta"])
    page.wait_for_selector("#overlay[data-lines='2']")
    assert {"x": ["bytes"], "y": ["log"], "metric": ["loss, central"]}.items() <= parse_qs(
        urlsplit(page.url).query
    ).items()
    assert axis(page, "yaxis", "type") == "log"
    press(page, "y", "linear")
    press(page, "x", "time")
    press(page, "x", "round")
    page.select_option("#overlay-metric", label="accuracy, central")
    until(lambda: axis(page, "xaxis", "title")["text"] == "round", why="the axis to be of rounds")  # type: ignore[index]
    assert axis(page, "yaxis", "type") == "linear"
    expect(page.locator("[data-overlay-foot]")).to_contain_text("Accuracy, central, by round.")
    assert parse_qs(urlsplit(page.url).query).keys() == {"s"}
    page.click("text=Choose from the list")
    page.wait_for_url("**/sessions/")
    page.go_back()
    page.click(f"[data-drop='{done['alpha']}']")
    page.wait_for_selector("#overlay[data-lines='1']")
    page.click(f"[data-drop='{done['beta']}']")
    expect(page.locator("main")).to_contain_text("Nothing is chosen yet")
    page.goto(f"{stack.url}/compare/?s={done['alpha']}&s=999999")
    expect(page.locator("main")).to_contain_text("1 session of this address is not there any more")
    for one in ("Best model", "Session"):
        page.locator(f"#compared td[data-label='{one}'] a, #compared th[data-wide] a").last.click()
        expect(page.locator("h1")).to_contain_text("alpha")
        page.go_back()


def test_the_compared_curves_are_isolated_zoomed_and_saved(stack: Stack, done: dict[str, str], page: Page):
    page.goto(f"{stack.url}/compare/?s={done['alpha']}&s={done['beta']}")
    page.wait_for_selector("#overlay[data-lines='2']")
    names = page.locator("[data-legend] button")
    names.last.click()
    expect(names.last).to_have_attribute("aria-pressed", "true")
    page.reload()
    expect(names.last).to_have_attribute("aria-pressed", "true")
    names.last.click()
    expect(page.locator("[data-legend] [aria-pressed=true]")).to_have_count(0)
    box = page.locator("#overlay .nsewdrag").bounding_box()
    assert box is not None
    left, top = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(left, top)
    expect(page.locator("[data-readout]")).to_contain_text("round")
    page.mouse.down()
    page.mouse.move(left + 200, top + 60, steps=4)
    page.mouse.up()
    until(lambda: axis(page, "xaxis", "autorange") is False, seconds=10, why="the zoom")
    zoomed = axis(page, "xaxis", "range")
    page.reload()
    page.wait_for_selector("#overlay[data-lines='2']")
    assert axis(page, "xaxis", "range") == pytest.approx(zoomed, rel=1e-3)
    page.click("[data-overlay-do=reset]")
    until(lambda: axis(page, "xaxis", "autorange") is True, seconds=10, why="the whole again")
    assert "zoom" not in page.url and "only" not in page.url
    for act, name in (("png", "comparison.png"), ("csv", "comparison.csv")):
        with page.expect_download() as download:
            page.click(f"[data-overlay-do={act}]")
        assert download.value.suggested_filename == name
        assert Path(download.value.path()).stat().st_size > 20
    page.click("[data-overlay-do=table]")
    expect(page.locator("#dialog tbody tr")).to_have_count(6)  # v0 to v2 of both
    page.click("#dialog [data-close]")
    expect(page.locator("#dialog")).to_be_hidden()
    before = page.evaluate("document.getElementById('overlay').data[0].line.color")
    page.click("[data-theme-toggle]")
    until(lambda: page.evaluate("document.getElementById('overlay').data[0].line.color") != before, seconds=10)
