"""Every page beside the session's own, after a real session with real agents: no word in the console, and axe-core
finds nothing serious, wide and narrow, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.e2e.browser import needs_browser, signed_in
from tests.e2e.stack import Stack
from tests.e2e.test_browser import DIGITS

pytestmark = needs_browser
SIZES = {"wide": (1440, 900), "narrow": (390, 844)}
SERIOUS = ("serious", "critical")


@cache
def axe_source() -> str:
    found = find_spec("axe_playwright_python")
    assert found is not None and found.origin is not None, "axe-playwright-python is in requirements-dev.txt"
    return (Path(found.origin).parent / "axe.min.js").read_text()


@pytest.fixture(scope="module")
def trained(shared_stack: Stack) -> dict[str, str]:
    """Two sessions that are over, the second gone on from the first; a rule that found both."""
    stack = shared_stack
    stack.two_sites("--send-log")
    first = stack.session(name="first", workload=DIGITS, rounds=3, cohort_size=2)
    stack.ended(first)
    go_on = {"session": first, "version": 2}
    second = stack.session(name="=second", workload=DIGITS, rounds=2, cohort_size=2, start_from=go_on)
    stack.ended(second)
    client = next(one["id"] for one in stack.get("/clients")["items"] if one["name"] == "site-1")
    return {"first": first, "second": second, "client": client}


@pytest.fixture
def page(shared_stack: Stack) -> Iterator[Page]:
    with signed_in(shared_stack.url, width=1440, at="") as page:
        yield page


def serious(page: Page) -> list[str]:
    """What axe-core finds, which is in the page already."""
    found: dict[str, Any] = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {node['html'][:160]}"
        for one in found["violations"]
        if one["impact"] in SERIOUS
        for node in one["nodes"][:3]
    ]


def addresses(stack: Stack, trained: dict[str, str]) -> list[str]:
    first, second = trained["first"], trained["second"]
    return [
        "/", "/sessions/", "/sessions/new/", f"/sessions/{first}/", "/compare/", f"/compare/?s={first}&s={second}",
        "/clients/", f"/clients/{trained['client']}/", "/clients/invite/", "/models/", "/models/?workload=digits",
        "/models/1/", "/models/compare/?m=2&m=4", "/activity/", "/alerts/", "/alerts/?show=all", "/alerts/rules/new/",
        "/password/",
    ]  # fmt: skip


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_is_well_at_every_width(shared_stack: Stack, trained: dict[str, str], page: Page, theme: str):
    page.context.add_cookies([{"name": "theme", "value": theme, "url": shared_stack.url}])
    wrong: dict[str, list[str]] = {}
    for path in addresses(shared_stack, trained):
        answer = page.goto(shared_stack.url + path)
        assert answer and answer.ok, path
        page.evaluate(axe_source())
        for size, (width, height) in SIZES.items():
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_timeout(150)
            found = serious(page)
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found.append("wider than the window")
            if found:
                wrong[f"{path} {size}"] = found
    assert wrong == {}
    assert page.said == []  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [718, 1040])  # of A4 upright and lying
def test_paper_is_light_without_controls_and_nothing_is_cut_off(
    shared_stack: Stack, trained: dict[str, str], page: Page, width: int
):
    page.context.add_cookies([{"name": "theme", "value": "dark", "url": shared_stack.url}])
    page.set_viewport_size({"width": width, "height": 1000})
    page.emulate_media(media="print")
    first, second = trained["first"], trained["second"]
    for path in (f"/sessions/{first}/?model=1", "/models/3/", f"/compare/?s={first}&s={second}"):
        page.goto(shared_stack.url + path)
        page.wait_for_timeout(500)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(246, 247, 249)", path
        assert page.locator(".page :is(button.btn, a.btn, input, select):visible").count() == 0, path
        assert page.evaluate(CUT_OFF) == [], path


CUT_OFF = """[...document.querySelectorAll(".page *")]
  .filter((one) => one.scrollWidth > one.clientWidth + 1)
  .filter((one) => ["auto", "scroll", "hidden"].includes(getComputedStyle(one).overflowX))
  .filter((one) => !one.closest(".sr, svg, .js-plotly-plot") && !one.matches(".sr, .client__name, .clip"))
  .map((one) => one.outerHTML.slice(0, 120))"""


def test_sessions_are_compared_from_their_list(shared_stack: Stack, trained: dict[str, str], page: Page):
    page.goto(shared_stack.url + "/sessions/")
    for key in ("first", "second"):
        page.check(f"#choose-{trained[key]}")
    page.click("#compare-chosen")
    page.wait_for_selector("#overlay[data-lines='2']")
    page.check("[data-overlay-form] [value=bytes]")
    assert "x=bytes" in page.url
    page.click("[data-overlay-do=table]")
    assert page.locator("#dialog tbody tr").count() == 7  # v0 to v3, v0 to v2
    page.keyboard.press("Escape")
    with page.expect_download() as download:
        page.click("[data-overlay-do=csv]")
    text = Path(download.value.path()).read_text()
    assert "'=second" in text and "\n=second" not in text
    page.locator("[data-drop]").first.click()
    page.wait_for_selector("#overlay[data-lines='1']")
    assert page.said == []  # type: ignore[attr-defined]


def test_a_model_is_tagged_and_a_client_put_into_a_group(shared_stack: Stack, trained: dict[str, str], page: Page):
    page.goto(shared_stack.url + "/models/3/")
    page.click("#tag-production")
    page.wait_for_selector(".chip >> text=production")
    page.fill("#model-note", "for the ward")
    page.click("text=Keep the note")
    page.wait_for_selector(".toast >> text=The note is kept.")
    page.goto(f"{shared_stack.url}/clients/{trained['client']}/")
    page.wait_for_selector("#log-tail >> text=update accepted")
    page.fill("#client-tags", "GPU, ward")
    page.click("#client-page .with-unit button")
    page.wait_for_selector(".tag >> text=ward")
    tags = {one["id"]: one["tags"] for one in shared_stack.get("/clients")["items"]}
    assert tags[trained["client"]] == ["gpu", "ward"]
    page.goto(shared_stack.url + "/activity/")
    said = page.inner_text("#activity-rows")
    assert "tagged v2 of first as production" in said and "into gpu, ward" in said
    assert page.said == []  # type: ignore[attr-defined]


def test_a_rule_raises_an_alert_by_itself_and_it_is_acknowledged(
    shared_stack: Stack, trained: dict[str, str], page: Page
):
    page.goto(shared_stack.url + "/alerts/")
    page.click("#new-rule")
    page.select_option("#id_kind", "session_done")
    page.fill("#id_webhook_url", "ftp://example.org/")
    page.click("#dialog button.btn--primary")
    page.wait_for_selector("#dialog >> text=This address cannot be")
    page.fill("#id_webhook_url", "")
    page.click("#dialog button.btn--primary")
    page.wait_for_selector("[data-rule]")
    session = shared_stack.session(name="short", rounds=1, cohort_size=2)
    shared_stack.ended(session)
    page.wait_for_selector("[data-alert] >> text=short is completed", timeout=15_000)  # no reload
    page.click("[data-alert] >> text=Acknowledge")
    page.wait_for_selector("text=Nothing is open")


def test_every_page_is_reached_by_keys(shared_stack: Stack, trained: dict[str, str], page: Page):
    page.goto(shared_stack.url)
    for key, path in {"x": "compare", "m": "models", "a": "activity", "l": "alerts", "c": "clients"}.items():
        page.keyboard.press("g")
        page.keyboard.press(key)
        page.wait_for_url(f"**/{path}/")
        page.wait_for_load_state()
    page.keyboard.press("Control+k")
    page.keyboard.type("site-1")
    page.wait_for_selector("#palette [aria-selected=true] >> text=site-1")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/clients/{trained['client']}/")
