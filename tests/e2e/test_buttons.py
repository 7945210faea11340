"""The buttons, forms and filters of every page, pressed as a person would, on one installation with real agents."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import agree, needs_browser, signed_in, told
from tests.e2e.stack import PASSWORD, Stack
from tests.e2e.test_browser import DIGITS

pytestmark = needs_browser


@pytest.fixture(scope="module")
def stack(two_sites: Stack) -> Stack:
    return two_sites


@pytest.fixture(scope="module")
def done(stack: Stack) -> str:
    """A session of two rounds that is over."""
    session = stack.session(name="done", workload=DIGITS, rounds=2, cohort_size=2)
    stack.ended(session)
    return session


def test_the_list_of_clients_is_sorted_and_its_menus_act(stack: Stack, done: str, page: Page):
    page.goto(f"{stack.url}/clients/")
    names = page.locator("#client-rows tbody th .client__name")
    expect(names).to_have_count(2)
    page.select_option("#client-sort", "name")
    page.wait_for_url("**sort=name*")
    expect(names).to_have_text(["site-1", "site-2"])
    page.select_option("#client-sort", "late")
    page.wait_for_url("**sort=late*")
    page.fill("#client-filter", "site-2")
    expect(names).to_have_text(["site-2"])
    page.click("#client-rows details summary")
    page.click("#client-rows details >> text=Disable")
    agree(page, "Disable site-2?")
    expect(page.locator("#client-rows")).to_contain_text("Disabled")
    page.click("label:has(#state-disabled)")
    page.click("#client-rows details summary")
    page.click("#client-rows details >> text=Enable")
    expect(names).to_have_count(0)
    page.click("label:has(#state-all)")
    expect(names).to_have_text(["site-2"])


def test_a_client_is_given_a_new_token_and_removed(stack: Stack, page: Page):
    stack.agent("spare")
    stack.online(3)
    key = next(one["id"] for one in stack.get("/clients")["items"] if one["name"] == "spare")
    page.goto(f"{stack.url}/clients/{key}/")
    page.click("#disable-client")
    agree(page, "Disable spare?")
    page.click("#enable-client")
    expect(page.locator("#disable-client")).to_be_visible()
    page.click("#reissue-client")
    page.click("#dialog button.btn--primary")
    page.click("#dialog [data-copy]")
    told(page, "Copied")
    page.keyboard.press("Escape")
    page.click("#remove-client")
    agree(page, "Remove spare?")
    page.wait_for_url("**/clients/")
    expect(page.locator("#client-rows")).not_to_contain_text("spare")


def test_models_are_found_tagged_and_compared(stack: Stack, done: str, page: Page):
    page.goto(f"{stack.url}/models/")
    page.fill("[name=q]", "done")
    rows = page.locator("#model-rows tbody tr")
    expect(rows.first).to_contain_text("done")
    rows.first.locator("th a").click()
    page.fill("#own-tag", "pilot")
    page.click("form:has(#own-tag) button")
    page.click("[aria-label='Take the tag pilot off']")
    agree(page, "Take pilot off")
    told(page, "no longer carries pilot")
    expect(page.locator("#model-tags .chip")).to_have_count(0)
    page.click("#tab-torch")
    page.click("#panel-torch [data-copy]")
    told(page, "The snippet is copied.")
    page.select_option("#compare-with", label="v1")
    page.click("form:has(#compare-with) button")
    page.wait_for_url("**/models/compare/**")
    page.go_back()
    page.goto(f"{stack.url}/models/?workload=digits")
    for nth in (0, 1):
        page.locator("#model-rows [name=m]").nth(nth).check()
    page.click("#compare-models")
    page.wait_for_url("**/models/compare/**")


def test_a_rule_is_made_tried_changed_and_deleted(stack: Stack, page: Page):
    page.goto(f"{stack.url}/alerts/")
    page.click("#new-rule")
    page.fill("#id_webhook_url", f"{stack.url}/nowhere")
    page.click("#dialog button.btn--primary")
    rule = page.locator("[data-rule]")
    rule.get_by_text("Test").click()
    expect(page.locator(".toast").last).to_be_visible(timeout=20_000)
    rule.get_by_text("Change").click()
    page.fill("#id_webhook_url", "")
    page.click("#dialog button.btn--primary")
    expect(rule.get_by_text("Test")).to_have_count(0)
    rule.get_by_text("Delete").click()
    agree(page, "Delete")
    expect(rule).to_have_count(0)


def test_a_rule_takes_addresses_that_can_be(stack: Stack, page: Page):
    page.goto(f"{stack.url}/alerts/")
    page.click("#new-rule")
    page.fill("#id_emails", "mara@example.org, nobody")
    page.click("#dialog button.btn--primary")
    expect(page.locator("#dialog")).to_contain_text("One of these is no e-mail address. Separate several by commas.")
    page.fill("#id_emails", "mara@example.org, lea@example.org")
    page.click("#dialog button.btn--primary")
    rule = page.locator("[data-rule]")
    expect(rule).to_contain_text("lea@example.org")
    rule.get_by_text("Delete").click()
    agree(page, "Delete")
    expect(rule).to_have_count(0)


def test_a_draft_is_filled_in_from_a_past_session_saved_and_deleted(stack: Stack, done: str, page: Page):
    page.goto(f"{stack.url}/sessions/new/")
    page.select_option("#past-session", done)
    page.click("text=Fill in its settings")
    page.wait_for_url(f"**from={done}*")
    assert page.input_value("#id_rounds") == "2"
    page.fill("#id_name", "later")
    page.click("[name=draft]")
    expect(page.locator("[data-session-status=draft]")).to_be_visible()
    page.click("#session-menu summary")
    page.click("#session-menu >> text=Delete")
    agree(page, "Delete later?")
    page.wait_for_url("**/sessions/")
    page.click("label:has([name=status][value=completed])")
    expect(page.locator("#session-rows")).to_contain_text("done")
    page.goto(f"{stack.url}/compare/")
    page.select_option("#add-session", done)
    page.wait_for_selector("#overlay[data-lines='1']")


def test_a_session_is_run_again(stack: Stack, page: Page):
    short = stack.session(name="short", rounds=1, cohort_size=2)
    stack.ended(short)
    page.goto(f"{stack.url}/sessions/{short}/")
    page.click("#settings >> text=Run again")
    page.wait_for_url(lambda url: f"/{short}/" not in url)
    told(page, "is launched")
    expect(page.locator("[data-session-status=completed]")).to_be_visible(timeout=60_000)
    page.goto(f"{stack.url}/activity/")
    page.click("label:has([name=area][value=sessions])")
    page.select_option("[name=by]", "alice")
    expect(page.locator("#activity-rows")).to_contain_text("short")


def test_the_frame_of_every_page(stack: Stack, page: Page):
    page.goto(stack.url)
    theme = page.evaluate("document.documentElement.dataset.theme")
    page.click("[data-theme-toggle]")
    assert page.evaluate("document.documentElement.dataset.theme") != theme
    page.click("[data-open=shortcuts]")
    page.click("#shortcuts button")
    page.click(".finder")
    page.keyboard.type("new alert")
    page.keyboard.press("Enter")
    page.wait_for_url("**/alerts/rules/new/")
    page.goto(f"{stack.url}/password/")
    page.fill("[name=old_password]", "wrong")
    page.click("main button.btn--primary")
    expect(page.locator(".field__error").first).to_be_visible()
    page.fill("[name=old_password]", PASSWORD)
    for field in ("new_password1", "new_password2"):
        page.fill(f"[name={field}]", PASSWORD)
    page.click("main button.btn--primary")
    page.wait_for_url(stack.url + "/")
    page.locator(".sidebar__who").click()
    page.click("#account >> text=Sign out")
    page.wait_for_url("**/sign-in/**")


def test_a_lost_connection_is_tried_again_by_hand(stack: Stack):
    with signed_in(stack.url) as page:  # of its own: a server that is away is told in the console
        stack.kill("web")
        expect(page.locator("[data-stale]")).to_be_visible(timeout=30_000)
        page.click("[data-retry]")  # it is still away
        stack.start("web")
        page.evaluate("document.querySelector('[data-retry]').click()")  # it may be back by itself just now
        expect(page.locator("[data-conn]")).to_have_attribute("data-state", "live", timeout=20_000)
