"""A person has a model measured: real agents, from the button to the numbers."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.e2e.browser import needs_browser, told
from tests.e2e.stack import Stack

pytestmark = needs_browser
DIGITS = {"name": "digits", "options": {}}
SITES = ("site-1", "site-2")


def test_a_model_is_evaluated_from_its_page(stack: Stack, page: Page) -> None:
    for n, more in enumerate((["--share-histogram"], []), start=1):
        stack.agent(f"site-{n}", "--partition", "iid", "--shard", f"{n}/2", "--samples", "100", *more)
    stack.online(2)
    session = stack.session(name="measured", workload=DIGITS, rounds=1, quorum=2, train={"epochs": 1})
    assert stack.ended(session)["status"] == "completed"
    page.goto(f"{stack.url}/sessions/{session}/")
    for name in SITES:  # before it completed, the sites measured its last model
        expect(page.locator(f'#evaluated [data-site="{name}"] .status')).to_contain_text("Reported")
    sees_counts(page, "#evaluated")
    page.locator("#evaluated h2 a").click()
    sees_counts(page, "#evaluations")
    page.click("#evaluate-model")
    for name in SITES:
        expect(page.locator(".chosen-site", has_text=name).locator("input")).to_be_checked()
    page.click("#dialog-body .btn--primary")
    told(page, "is being measured")
    expect(page.locator("[data-session-status=completed]")).to_be_visible(timeout=60_000)
    expect(page.locator('tr[data-measure="accuracy"]')).to_be_visible()
    for name in SITES:
        expect(page.locator(f'tr[data-site="{name}"] .status')).to_contain_text("Reported")
    sees_counts(page, "#evaluation-session")
    page.click("[data-counts-table]")
    expect(page.locator("#dialog tbody tr")).to_have_count(10)
    page.click("#dialog [data-close]")
    page.reload()
    expect(page.locator("#counts-site")).to_have_value("")
    page.goto(f"{stack.url}/compare/?s={session}")
    sees_each_class(page)


def sees_counts(page: Page, part: str) -> None:
    """The confusion matrix of the one site that sends it, as a sum and by itself."""
    plot = page.locator(f"{part} #counts-plot")
    expect(plot).to_have_attribute("data-drawn", "matrix", timeout=20_000)
    expect(plot.locator(".heatmaplayer image")).to_have_count(1)
    expect(plot.locator(".textpoint")).to_have_count(100)
    counts = page.locator(f"{part} [data-counts]")
    expect(counts).to_contain_text("The sum is of 1 site. site-2 sent none.")
    expect(page.locator("#counts-site option")).to_have_text(["All sites", "site-1"])
    page.select_option("#counts-site", label="site-1")
    expect(plot).to_have_attribute("aria-label", re.compile("^Confusion matrix of site-1"))
    expect(plot.locator(".heatmaplayer image")).to_have_count(1)
    page.select_option("#counts-site", label="All sites")
    expect(plot).to_have_attribute("aria-label", re.compile("^Confusion matrix of all sites"))


def sees_each_class(page: Page) -> None:
    """Where sessions are compared, as a picture and as a table without the examples, which may differ."""
    plot = page.locator("#compared #counts-plot")
    expect(plot).to_have_attribute("data-drawn", "lines", timeout=20_000)
    page.select_option("#counts-name", label="F1 of each class")
    expect(plot).to_have_attribute("data-drawn", "dots")
    expect(plot.locator(".ytick")).to_have_count(10)
    page.click("[data-counts-table]")
    expect(page.locator("#dialog thead th")).to_have_text(["Class", "measured"])
    expect(page.locator("#dialog tbody tr")).to_have_count(10)
    page.click("#dialog [data-close]")
