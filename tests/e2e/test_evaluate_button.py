"""A person has a model measured: real agents, from the button to the numbers."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.e2e.browser import needs_browser, told
from tests.e2e.stack import Stack

pytestmark = needs_browser
DIGITS = {"name": "digits", "options": {}}
SITES = ("site-1", "site-2")


def test_a_model_is_evaluated_from_its_page(stack: Stack, page: Page) -> None:
    stack.two_sites()
    session = stack.session(name="measured", workload=DIGITS, rounds=1, quorum=2, train={"epochs": 1})
    assert stack.ended(session)["status"] == "completed"
    page.goto(f"{stack.url}/sessions/{session}/")
    for name in SITES:  # before it completed, the sites measured its last model
        expect(page.locator(f'#evaluated [data-site="{name}"] .status')).to_contain_text("Reported")
    page.locator("#evaluated h2 a").click()
    page.click("#evaluate-model")
    for name in SITES:
        expect(page.locator(".chosen-site", has_text=name).locator("input")).to_be_checked()
    page.click("#dialog-body .btn--primary")
    told(page, "is being measured")
    expect(page.locator("[data-session-status=completed]")).to_be_visible(timeout=60_000)
    expect(page.locator('tr[data-measure="accuracy"]')).to_be_visible()
    for name in SITES:
        expect(page.locator(f'tr[data-site="{name}"] .status')).to_contain_text("Reported")
