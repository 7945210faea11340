"""What can be pressed on the registry of models, on a model's page and where two are compared."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import enter_password_again, forget_password, needs_browser, press, refreshed, told
from tests.e2e.sessions import run_a_short_one
from tests.e2e.stack import Stack, until

pytestmark = needs_browser


@pytest.fixture(scope="module")
def stack(used: tuple[Stack, dict[str, str]]) -> Stack:
    return used[0]


@pytest.fixture(scope="module")
def done(used: tuple[Stack, dict[str, str]]) -> dict[str, str]:
    return used[1]


def column(page: Page, label: str) -> list[float]:
    shown = page.locator(f"#model-rows td[data-label='{label}']").all_inner_texts()
    return [float(text.split()[0]) for text in shown if re.match(r"\d", text)]


def test_models_are_narrowed_sorted_and_paged(stack: Stack, done: dict[str, str], page: Page):
    page.goto(f"{stack.url}/models/")
    rows = page.locator("#model-rows tbody tr")
    page.click("[rel=next]")
    expect(rows.last).to_contain_text("v0")
    last = rows.last.inner_text()
    with refreshed(page, "#model-rows"):
        run_a_short_one(stack)
    expect(page.locator(".pager")).to_contain_text("Page 2")
    expect(rows.last).to_contain_text(last.split("\n")[0].split("\t")[0])
    page.click("[rel=prev]")
    page.select_option("[name=workload]", "digits")
    expect(rows).to_have_count(6)
    best = page.locator("#model-rows .banner a").first
    expect(best).to_be_visible()
    for sort, label, downwards in (("accuracy", "Accuracy", True), ("loss", "Loss", False), ("size", "Size", True)):
        press(page, "sort", sort)
        until(
            lambda label=label, down=downwards: (values := column(page, label)) == sorted(values, reverse=down),  # type: ignore[misc]
            seconds=10,
            why=f"the order of {label}",
        )
        expect(page).to_have_url(re.compile(f"sort={sort}"))
    press(page, "sort", "new")
    best.click()
    expect(page.locator("h1")).to_contain_text(", v")
    page.go_back()
    page.fill("[name=q]", "nothing is called so")
    page.click("#model-rows >> text=Show all")
    expect(rows).to_have_count(50)
    with page.expect_download() as download:
        rows.first.locator("[download]").click()
    assert download.value.suggested_filename.endswith(".safetensors")
    page.click("#compare-models")  # none is ticked
    expect(page.locator("main")).to_contain_text("None is chosen.")
    page.click("main >> text=Choose")
    page.wait_for_url("**/models/")


@pytest.mark.parametrize("seen_on", ["page", "phone"])
def test_the_next_page_is_never_that_of_the_list_before_one_typed(
    stack: Stack, done: dict[str, str], request: pytest.FixtureRequest, seen_on: str
):
    page: Page = request.getfixturevalue(seen_on)
    page.goto(f"{stack.url}/models/")
    page.route("**/models/rows/?q=*", lambda route: None)  # its answer does not come
    page.fill("[name=q]", "beta")
    page.click("[rel=next]")
    page.wait_for_url("**/models/?q=beta*")
    expect(page.locator("#model-rows tbody tr")).to_have_count(3)
    expect(page.locator("[name=q]")).to_have_value("beta")


def test_models_appear_while_their_session_goes_on(stack: Stack, done: dict[str, str], page: Page):
    page.goto(f"{stack.url}/models/")
    rows = page.locator("#model-rows tbody tr")
    session = stack.session(name="goes on", rounds=1000, cohort_size=2)
    expect(rows.first).to_contain_text(re.compile(r"goes on, v\d+"))
    until(lambda: stack.get(f"/sessions/{session}")["completed_rounds"] > 3, why="three rounds more")
    expect(rows.nth(3)).to_contain_text("goes on")
    assert stack.get(f"/sessions/{session}")["status"] == "running"
    stack.post(f"/sessions/{session}/cancel")
    stack.ended(session)


def test_models_stay_ticked_while_their_list_is_refreshed(stack: Stack, done: dict[str, str], page: Page):
    page.goto(f"{stack.url}/models/?workload=digits")
    for nth in (0, 1):
        page.locator("#model-rows [name=m]").nth(nth).check()
    with refreshed(page, "#model-rows"):
        run_a_short_one(stack)
    page.click("#compare-models")
    expect(page.locator("h1")).to_have_text("Two models")
    page.locator("thead a").first.click()
    expect(page.locator("h1")).to_contain_text(", v")
    page.go_back()
    page.click(".crumbs a")
    page.wait_for_url("**/models/")


def test_a_model_is_tagged_noted_loaded_and_gone_on_from(stack: Stack, done: dict[str, str], page: Page):
    page.goto(f"{stack.url}/models/?q=alpha")
    page.locator("#model-rows th a", has_text="v2").click()
    tags = page.locator("#model-tags .chip")
    page.fill("#model-note", "for the ward")
    page.click("#tag-candidate")
    expect(tags).to_have_text(["candidate"])
    expect(page.locator("#model-note")).to_have_value("for the ward")  # it is not lost by the refresh
    page.click("#tag-production")
    expect(tags).to_have_text(["candidate", "production"])
    page.click("text=Keep the note")
    told(page, "The note is kept.")
    page.reload()
    expect(page.locator("#model-note")).to_have_value("for the ward")
    page.fill("#model-note", "")
    page.click("text=Keep the note")
    told(page, "The note is taken away.")
    page.click("[aria-label='Take the tag candidate off']")
    page.click("#dialog >> text=Keep the tag")
    expect(page.locator("#dialog")).to_be_hidden()
    expect(tags).to_have_count(2)
    for link, suffix in (("#download-model", ".safetensors"), ("#download-state-dict", ".pt")):
        with page.expect_download() as download:
            page.click(link)
        assert download.value.suggested_filename.endswith(suffix)
    page.click("[aria-label^='Copy the digest']")
    told(page, "The digest is copied.")
    page.focus("#tab-safetensors")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#panel-torch")).to_be_visible()
    page.keyboard.press("ArrowRight")
    page.click("[aria-label='Copy the snippet for safetensors']")
    told(page, "The snippet is copied.")
    assert "load_file" in page.evaluate("navigator.clipboard.readText()")


def test_a_models_page_leads_to_where_it_came_from(stack: Stack, done: dict[str, str], page: Page):
    page.goto(f"{stack.url}/models/?q=alpha")
    page.locator("#model-rows th a", has_text="v2").click()
    here = page.url
    leads = {
        ".lineage a[aria-label^='v1']": "alpha, v1",
        "[aria-labelledby=lineage-title] .card__head a": "alpha, v1",
        "[aria-labelledby=ingredients-title] tbody a >> nth=0": "site-",
        ".crumbs a >> nth=0": "Models",
        ".crumbs a >> nth=1": "alpha",
        "text=Round 2": "alpha",
        "text=Start a session from here": "New session",
    }
    for link, heading in leads.items():
        page.goto(here)
        page.click(link)
        expect(page.locator("h1")).to_contain_text(heading)
    assert f"start={done['alpha']}:2" in page.url


def test_models_are_found_by_a_tag(stack: Stack, done: dict[str, str], page: Page):
    page.goto(f"{stack.url}/models/?q=beta")
    rows = page.locator("#model-rows tbody tr")
    rows.first.locator("th a").click()
    page.fill("#own-tag", "Pilot")
    page.press("#own-tag", "Enter")
    expect(page.locator("#model-tags .chip")).to_contain_text(["pilot"])
    expect(page.locator("#own-tag")).to_have_value("")
    page.goto(f"{stack.url}/models/")
    page.select_option("[name=tag]", "pilot")
    expect(rows).to_have_count(1)
    page.goto(f"{stack.url}/models/?q=beta")
    page.click("#model-rows .tag >> text=pilot")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("beta")


def test_the_lineage_leads_from_model_to_model(stack: Stack, done: dict[str, str], page: Page):
    page.goto(f"{stack.url}/models/?q=alpha")
    page.locator("#model-rows tbody tr th a", has_text="v2").click()
    expect(page.locator("h1")).to_contain_text("v2")
    page.click(".lineage a[aria-label='v1 of alpha']")
    expect(page.locator("h1")).to_contain_text("v1")
    page.click(".lineage a[aria-label='v2 of alpha']")
    expect(page.locator("h1")).to_contain_text("v2")


def test_what_is_in_production_is_decided_with_the_password(stack: Stack, done: dict[str, str], page: Page):
    page.goto(f"{stack.url}/models/?q=beta")
    page.locator("#model-rows tbody tr").last.locator("th a").click()
    chips = page.locator("#model-tags .chip", has_text="production")
    forget_password(stack)
    page.click("#tag-production")
    enter_password_again(page)
    expect(chips).to_have_count(1)
    expect(page.locator("#dialog")).to_be_hidden()
