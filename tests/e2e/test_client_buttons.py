"""What can be pressed on the list of clients and on a client's page."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.browser import WAYS, agree, needs_browser, press, refreshed, told
from tests.e2e.sessions import run_a_short_one
from tests.e2e.stack import Stack, until

pytestmark = needs_browser


@pytest.fixture(scope="module")
def stack(used: tuple[Stack, dict[str, str]]) -> Stack:
    return used[0]


@pytest.fixture(scope="module")
def done(used: tuple[Stack, dict[str, str]]) -> dict[str, str]:
    return used[1]


def page_of(stack: Stack, name: str) -> str:
    key = next(one["id"] for one in stack.get("/clients")["items"] if one["name"] == name)
    return f"{stack.url}/clients/{key}/"


def test_an_invitation_is_made_copied_and_revoked(stack: Stack, done: dict[str, str], page: Page):
    page.goto(f"{stack.url}/clients/")
    page.click("main >> text=Invite a client")
    page.click("#dialog >> text=Not now")
    expect(page.locator("#dialog")).to_be_hidden()
    page.click("main >> text=Invite a client")
    page.fill("#id_uses", "0")
    page.click("#dialog button.btn--primary")
    expect(page.locator("#dialog .field__error:visible")).to_have_count(1)
    page.fill("#id_uses", "3")
    page.select_option("#id_expires", label="never")
    page.click("#dialog button.btn--primary")
    for key, word in WAYS:
        page.click(f"#dialog #tab-{key}")
        page.click(f"#panel-{key} [data-copy]")
        told(page, "Copied.")
        until(lambda word=word: word in page.evaluate("navigator.clipboard.readText()"), seconds=10)  # type: ignore[misc]
    page.click("#dialog a >> text=Done")
    expect(page.locator("#dialog")).to_be_hidden()
    made = page.locator("#invitations tbody tr", has_text="3 of 3")
    expect(made).to_contain_text("never")
    made.get_by_text("Revoke").click()
    page.click("#dialog >> text=Keep it open")
    expect(made).to_have_count(1)
    made.get_by_text("Revoke").click()
    agree(page, "Revoke the invitation")
    told(page, "is revoked")
    page.locator(".toast", has_text="is revoked").get_by_text("Close").click()
    expect(page.locator(".toast", has_text="is revoked")).to_have_count(0)
    expect(made).to_have_count(0)
    page.goto(f"{stack.url}/clients/invite/")
    page.click("main button.btn--primary")
    page.click("#dialog a >> text=Done")
    page.click("main >> text=Not now")
    page.wait_for_url("**/clients/")


def test_clients_are_sorted_narrowed_and_their_menu_asks_first(stack: Stack, done: dict[str, str], page: Page):
    page.goto(f"{stack.url}/clients/")
    names = page.locator("#client-rows tbody th .client__name")
    for sort in ("examples", "failed", ""):
        page.select_option("#client-sort", sort)
        page.wait_for_url(f"**sort={sort}" if sort else "**/clients/")
        expect(names).to_have_count(2)
    for state, count in (("online", 2), ("busy", 0), ("away", 0)):
        press(page, "state", state)
        expect(names).to_have_count(count)
    page.click("#client-rows >> text=Show all 2")
    expect(names).to_have_count(2)
    menu = page.locator("#client-rows details").first
    for key in ("Disable", "Remove"):
        menu.locator("summary").click()
        menu.get_by_text(key).click()
        page.click("#dialog >> text=Keep ")
        expect(page.locator("#dialog")).to_be_hidden()
    menu.locator("summary").click()
    page.keyboard.press("Escape")
    expect(menu.locator("a").first).to_be_hidden()
    menu.locator("summary").click()
    menu.get_by_text("Open", exact=False).first.click()
    expect(page.locator("h1")).to_contain_text("site-")
    page.click(".crumbs a")
    names.first.click()
    expect(page.locator("h1")).to_contain_text("site-")


def test_a_refresh_that_is_late_changes_nothing_that_was_pressed_since(stack: Stack, done: dict[str, str], page: Page):
    page.goto(f"{stack.url}/clients/")
    held: list[Route] = []
    refresh = "**/clients/rows/?q=&state=&sort=&page=1"
    page.route(refresh, lambda route: held.append(route))
    page.evaluate("document.body.dispatchEvent(new CustomEvent('clients-changed'))")
    until(lambda: page.evaluate("1") and held, why="the refresh")
    press(page, "state", "disabled")
    expect(page.locator("#client-rows")).to_contain_text("No client fits")
    with page.expect_response(refresh):
        held[0].continue_()
    page.evaluate("fetch('/find/').then((answer) => answer.text())")  # by now it would be there
    expect(page.locator("#client-rows")).to_contain_text("No client fits")


def test_a_clients_curves_are_chosen_zoomed_and_saved(stack: Stack, done: dict[str, str], page: Page):
    page.goto(page_of(stack, "site-1"))
    page.wait_for_selector("#overlay[data-lines='2']")
    page.select_option("#overlay-metric", label="train loss")
    press(page, "x", "time")
    expect(page.locator("[data-overlay-foot]")).to_contain_text("Train loss, by")
    expect(page).to_have_url(re.compile(r"metric=train\+loss&x=time"))
    press(page, "x", "round")
    legend = page.locator("[data-legend] button", has_text="beta")
    legend.click()
    expect(legend).to_have_attribute("aria-pressed", "true")
    page.click("[data-overlay-do=reset]")
    with page.expect_download() as download:
        page.click("[data-overlay-do=csv]")
    assert download.value.suggested_filename.endswith(".csv")
    page.click("[data-overlay-do=table]")
    expect(page.locator("#dialog tbody")).to_contain_text("beta")
    page.click("#dialog [data-close]")
    expect(page.locator("#dialog")).to_be_hidden()


def test_a_clients_rounds_are_paged_and_lead_to_their_session(stack: Stack, done: dict[str, str], page: Page):
    page.goto(page_of(stack, "site-1"))
    pager = page.locator(".pager")
    for link, number in (("next", 2), ("next", 3), ("prev", 2)):
        page.click(f"[rel={link}]")
        expect(pager).to_contain_text(f"Page {number} of 3")
    link = page.locator("#client-turns tbody th a").first
    name = link.inner_text()
    link.click()
    expect(page.locator("h1")).to_have_text(name)


def test_tags_that_are_being_typed_and_a_log_that_is_read_outlive_a_refresh(
    stack: Stack, done: dict[str, str], page: Page
):
    page.goto(page_of(stack, "site-1"))
    page.focus("#client-tags")
    page.keyboard.type("GPU, wa")
    with refreshed(page, "#client-page"):
        run_a_short_one(stack)
    page.keyboard.type("rd")  # the caret is where it was
    page.press("#client-tags", "Enter")
    told(page, "Tags of site-1: gpu, ward.")
    expect(page.locator("#client-tags")).to_have_value("gpu, ward")
    page.locator("#log-tail").hover()
    page.mouse.wheel(0, 150)
    until(lambda: page.evaluate("document.getElementById('log-tail').scrollTop") == 150, seconds=10)
    with refreshed(page, "#client-log"):  # every 5 s
        pass
    assert page.evaluate("document.getElementById('log-tail').scrollTop") == 150
    page.click(".tag >> text=ward")
    expect(page.locator("#client-rows tbody tr")).to_have_count(1)


def test_a_clients_page_asks_before_it_acts(stack: Stack, done: dict[str, str], page: Page):
    page.goto(page_of(stack, "site-2"))
    for button, stay in (("#disable-client", "Keep "), ("#reissue-client", "Not now"), ("#remove-client", "Keep ")):
        page.click(button)
        page.click(f"#dialog >> text={stay}")
        expect(page.locator("#dialog")).to_be_hidden()
    page.click("#reissue-client")
    page.click("#dialog button.btn--primary")
    page.click("#dialog a >> text=Done")
    page.goto(page_of(stack, "site-2") + "disable/")  # the question as a page of its own
    agree(page, "Disable site-2?")
    page.wait_for_url("**/clients/")
    told(page, "site-2 is disabled.")
    page.click("[data-client=site-2] summary")
    page.click("[data-client=site-2] >> text=Enable")
    told(page, "site-2 is enabled")


def test_many_clients_are_paged(stack: Stack, done: dict[str, str], page: Page):
    for n in range(50):  # they never ask for work
        body = {"join_code": stack.join_code, "name": f"site-{n + 3}", "info": {}}
        assert stack.http.post(f"{stack.url}/api/v1/enroll", json=body, timeout=30).status_code == 201
    page.goto(f"{stack.url}/clients/?sort=name")
    rows = page.locator("#client-rows tbody tr")
    expect(rows).to_have_count(50)
    page.click("[rel=next]")
    expect(rows).to_have_count(2)
    with refreshed(page, "#client-rows"):
        body = {"join_code": stack.join_code, "name": "zoo", "info": {}}
        assert stack.http.post(f"{stack.url}/api/v1/enroll", json=body, timeout=30).status_code == 201
    expect(rows.last).to_contain_text("zoo")
    page.click("[rel=prev]")
    expect(rows).to_have_count(50)
    expect(page).to_have_url(re.compile("sort=name"))
    page.goto(stack.url + "/")
    page.click("text=All 53 clients")
    page.wait_for_url("**/clients/")
    page.select_option("#client-sort", "name")
    page.wait_for_url("**sort=name")
    page.route("**/clients/rows/?*", lambda route: None)  # its answer does not come
    press(page, "state", "disabled")
    page.click("[rel=next]")
    expect(page.locator("#client-rows")).to_contain_text("No client fits")
    expect(page.locator("#state-disabled")).to_be_checked()
    expect(page).to_have_url(re.compile("state=disabled.*sort=name"))


BEGINS = """(row) => {
  const button = row.lastElementChild.querySelector(".btn"), words = document.createRange();
  words.selectNodeContents(button);
  const framed = !button.matches(".btn--quiet");
  const left = (framed ? button : words).getBoundingClientRect().left;
  return left - row.firstElementChild.getBoundingClientRect().left;
}"""  # how far the button in a row's last cell begins from where the first cell does


@pytest.mark.parametrize(
    "path, rows", [("/clients/", "#invitations tbody tr"), ("/workloads/", "#workload-rows tbody tr")]
)
def test_on_a_phone_the_button_in_the_last_cell_begins_where_the_cells_do(
    stack: Stack, done: dict[str, str], phone: Page, path: str, rows: str
):
    phone.goto(stack.url + path)
    assert phone.locator(rows).first.evaluate(BEGINS) == pytest.approx(0, abs=1.5), "pixels, with the button's frame"


def test_on_a_phone_a_long_sentence_about_changed_data_wraps(stack: Stack, done: dict[str, str], phone: Page):
    name = "the-site-with-changed-data"
    body = {"join_code": stack.join_code, "name": name, "info": {"num_examples": 100}}
    token = stack.http.post(f"{stack.url}/api/v1/enroll", json=body, timeout=30).json()["token"]
    told = {"Authorization": f"Bearer {token}"}
    changed = {"info": {"num_examples": 1}}
    assert stack.http.post(f"{stack.url}/api/v1/clients/me/info", json=changed, headers=told, timeout=30).ok
    phone.goto(page_of(stack, name))
    expect(phone.locator("#client-changed")).to_contain_text("1 example instead of 100")
    assert phone.evaluate("document.documentElement.scrollWidth") == 390
