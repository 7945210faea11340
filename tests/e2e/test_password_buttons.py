"""What asks for the password again where it was entered long ago: from every kind of form, and what it does then."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.browser import agree, enter_password_again, forget_password, needs_browser, told
from tests.e2e.stack import Stack, until

pytestmark = needs_browser


@pytest.fixture(scope="module")
def stack(shared_stack: Stack) -> Stack:
    return shared_stack


def make_invitation(page: Page) -> int:
    """Returns how many there are then."""
    rows = page.locator("#invitations tbody tr")
    there = rows.count() + 1
    page.click("main >> text=Invite a client")
    page.click("#dialog button.btn--primary")
    page.click("#dialog a >> text=Done")
    expect(page.locator("#dialog")).to_be_hidden()
    expect(rows).to_have_count(there)
    return there


def test_an_invitation_from_the_first_page(stack: Stack, page: Page):
    page.goto(stack.url)
    expect(page.locator("h1")).to_have_text("Train one model together")
    forget_password(stack)
    page.click("text=Make an invitation")
    enter_password_again(page)
    expect(page.locator("#dialog-title")).to_have_text("Run this beside the data")
    expect(page.locator("#panel-docker code, #panel-one code").first).to_contain_text("--join")
    page.click("#dialog a >> text=Done")
    page.click("text=Make an invitation")  # it was entered just now
    expect(page.locator("#invite-panel")).to_contain_text("The code is shown only now.")
    expect(page.locator("#dialog")).to_be_hidden()


def test_an_invitation_from_the_clients(stack: Stack, page: Page):
    page.goto(f"{stack.url}/clients/")
    forget_password(stack)
    page.click("main >> text=Invite a client")
    enter_password_again(page)
    page.fill("#id_uses", "7")
    forget_password(stack)
    page.click("#dialog button.btn--primary")
    enter_password_again(page)
    page.click("#dialog a >> text=Done")
    expect(page.locator("#invitations tbody tr", has_text="7 of 7")).to_have_count(1)


def test_an_act_that_was_agreed_to_late(stack: Stack, page: Page):
    page.goto(f"{stack.url}/clients/")
    there = make_invitation(page)
    rows = page.locator("#invitations tbody tr")
    rows.first.get_by_text("Revoke").click()
    expect(page.locator("#dialog-title")).to_contain_text("Revoke the invitation")
    forget_password(stack)
    agree(page, "Revoke the invitation")
    enter_password_again(page)
    told(page, "is revoked")
    expect(page.locator("#dialog")).to_be_hidden()
    expect(rows).to_have_count(there - 1)


def test_the_test_of_a_webhook(stack: Stack, page: Page):
    page.goto(f"{stack.url}/alerts/")
    page.click("#new-rule")
    page.fill("#dialog [name=webhook_url]", "http://127.0.0.1:9/")
    page.click("#dialog >> text=Keep the rule")
    told(page, "The rule is kept.")
    forget_password(stack)
    page.locator("[data-rule]", has_text="the webhook").get_by_text("Test").click()
    enter_password_again(page)
    expect(page.locator("#dialog")).to_be_hidden()
    expect(page.locator(".toast")).to_have_count(2)


def test_the_question_for_the_password_does_not_replace_what_was_opened_since(stack: Stack, page: Page):
    page.goto(stack.url)
    forget_password(stack)
    held: list[Route] = []
    page.route("**/clients/invite/", lambda route: held.append(route))
    page.click("text=Make an invitation")
    until(lambda: page.evaluate("1") and held, why="the press")
    page.evaluate("htmx.ajax('GET', '/alerts/rules/new/', {target: '#dialog-body', swap: 'innerHTML', source: 'h1'})")
    expect(page.locator("#dialog [name=webhook_url]")).to_be_visible()
    with page.expect_response("**/clients/invite/"):
        held[0].continue_()
    until(lambda: page.evaluate("fetch('/find/').then((answer) => answer.ok)"), seconds=10)
    expect(page.locator("#dialog [name=webhook_url]")).to_be_visible()
