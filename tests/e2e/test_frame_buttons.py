"""What can be pressed on activity, alerts and the frame around every page, on a wide screen and on a phone."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import agree, needs_browser, press, refreshed, signed_in, told
from tests.e2e.stack import PASSWORD, Stack
from tests.e2e.test_browser import DIGITS

pytestmark = needs_browser


@pytest.fixture(scope="module")
def stack(two_sites: Stack) -> Stack:
    return two_sites


@pytest.fixture(scope="module")
def done(stack: Stack) -> str:
    session = stack.session(name="done", workload=DIGITS, rounds=2, cohort_size=2)
    stack.ended(session)
    return session


def theme(page: Page) -> str:
    return page.evaluate("document.documentElement.dataset.theme ?? ''")


# ---- the frame


def test_every_place_is_a_press_away(stack: Stack, page: Page):
    page.goto(stack.url)
    for name in ("Sessions", "Compare", "Clients", "Models", "Workloads", "Activity", "Alerts", "Overview"):
        page.click(f".nav a >> text={name}")
        expect(page.locator(".nav [aria-current=page]")).to_contain_text(name)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    for keys, path in (("gs", "/sessions/"), ("n", "/sessions/new/"), ("go", "/")):
        for key in keys:
            page.keyboard.press(key)
        page.wait_for_url(stack.url + path)
        page.wait_for_load_state()
    page.click(".nav a >> text=Models")
    page.click(".brand")
    page.wait_for_url(stack.url + "/")


def test_the_finder_finds_and_does(stack: Stack, done: str, page: Page):
    page.goto(stack.url)
    finder = page.locator("#palette")
    page.click(".finder")
    page.keyboard.type("nobody is called so")
    expect(finder).to_contain_text("Nothing is called that.")
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(finder).to_be_hidden()
    page.keyboard.press("Control+k")
    for key in ("ArrowDown", "ArrowDown", "ArrowUp"):
        page.keyboard.press(key)
    expect(finder.locator("li", has_text="done")).to_be_visible()  # what was found came, and the choice stayed
    expect(finder.locator("[aria-selected=true]")).to_contain_text("Sessions")
    page.keyboard.press("Enter")
    page.wait_for_url("**/sessions/")
    page.keyboard.press("Control+k")
    finder.locator("li", has_text="Invite a client").click()
    page.wait_for_url("**/clients/invite/")
    was = theme(page)
    for words, seen in (("switch between", ""), ("short cuts", "#shortcuts")):
        page.keyboard.press("Control+k")
        page.keyboard.type(words)
        page.keyboard.press("Enter")
        if seen:
            expect(page.locator(seen)).to_be_visible()
    assert theme(page) != was
    page.keyboard.press("Escape")
    expect(page.locator("#shortcuts")).to_be_hidden()
    page.keyboard.press("?")
    page.click("#shortcuts button")
    places = {"overview": "/", "compare": "/compare/", "models": "/models/", "activity": "/activity/"}
    places |= {"clients": "/clients/", "alerts": "/alerts/", "new session": "/sessions/new/", "my pass": "/password/"}
    for words, path in places.items():
        page.keyboard.press("Control+k")
        page.keyboard.type(words)
        page.keyboard.press("Enter")
        page.wait_for_url(stack.url + path)
        page.wait_for_load_state()


def test_the_theme_that_was_switched_to_stays(stack: Stack, page: Page):
    page.goto(stack.url)
    was = theme(page)
    page.click("[data-theme-toggle]")
    other = theme(page)
    page.reload()
    assert theme(page) == other != was
    page.click("[data-theme-toggle]")
    assert theme(page) != other


def test_the_account_is_opened_left_and_entered_again(stack: Stack, page: Page):
    page.goto(stack.url)
    page.click(".sidebar__who")
    page.click("#account >> text=Close")
    expect(page.locator("#account")).to_be_hidden()
    page.click(".sidebar__who")
    page.click("#account >> text=Change my password")
    page.click("main >> text=Keep the old one")
    page.wait_for_url(stack.url + "/")
    page.click(".sidebar__who")
    page.mouse.click(5, 5)  # beside it
    expect(page.locator("#account")).to_be_hidden()
    page.context.clear_cookies()
    page.goto(f"{stack.url}/models/?sort=loss")
    page.fill("[name=username]", "alice")
    page.fill("[name=password]", "wrong")
    page.click("main button")
    expect(page.locator("[role=alert]")).to_contain_text("do not belong together")
    page.fill("[name=password]", PASSWORD)
    page.click("main button")
    page.wait_for_url("**/models/?sort=loss")


def test_an_address_where_nothing_is_leads_back(stack: Stack):
    with signed_in(stack.url, width=390) as page:  # of its own: what is not there is told in the console
        for way in ("text=To the overview", ".brand"):
            page.goto(f"{stack.url}/sessions/999999/")
            expect(page.locator("h1")).to_have_text("Nothing is here")
            page.click(way)
            page.wait_for_url(stack.url + "/")
        assert all("404" in text for text in page.said)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("seen_on", "more"), [("page", ".sidebar__who"), ("phone", "text=More")])
def test_the_administration_is_entered_and_left(stack: Stack, request: pytest.FixtureRequest, seen_on: str, more: str):
    page: Page = request.getfixturevalue(seen_on)
    page.goto(stack.url)
    page.click(more)
    page.click("#account >> text=Administration")
    expect(page.locator("#content h1")).to_have_text("Site administration")
    page.click("#content >> text=API keys")
    expect(page.locator("#result_list tbody tr")).to_have_count(1)
    page.click("#user-tools >> text=View site")
    page.wait_for_url(stack.url + "/")


def test_lists_are_narrowed_without_scripts(stack: Stack, done: str):
    narrowed = {
        "sessions": ("status", "failed", "No session is failed"),
        "clients": ("state", "disabled", "No client fits"),
        "models": ("sort", "loss", "done, v2"),
        "activity": ("area", "models", "Nothing like this was done"),
    }
    with signed_in(stack.url, scripts=False) as page:
        for place, (name, value, said) in narrowed.items():
            page.goto(f"{stack.url}/{place}/")
            press(page, name, value)
            page.click("form.filters noscript button")
            page.wait_for_url(f"**/{place}/?*{name}={value}*")
            expect(page.locator("main")).to_contain_text(said)


# ---- on a phone


def test_every_page_opens_dark_on_a_phone(stack: Stack, done: str, phone: Page):
    client = stack.get("/clients")["items"][0]["id"]
    for path in (
        "/sessions/", f"/compare/?s={done}", "/clients/", f"/clients/{client}/", "/clients/invite/", "/models/",
        "/models/1/", "/models/compare/?m=1&m=2", "/activity/", "/alerts/?show=all", "/alerts/rules/new/", "/password/",
    ):  # fmt: skip
        answer = phone.goto(stack.url + path)
        assert answer and answer.ok, path
        expect(phone.locator("[data-conn]")).to_have_attribute("data-state", "live")
        assert theme(phone) == "dark"
        assert not phone.evaluate("document.documentElement.scrollWidth > innerWidth"), path
        if path.startswith(("/compare", f"/clients/{client}")):
            phone.wait_for_selector("#overlay[data-lines='1']")


def test_every_place_is_a_press_away_on_a_phone(stack: Stack, done: str, phone: Page):
    phone.goto(stack.url)
    for name in ("Sessions", "Clients", "Models", "Overview"):
        phone.click(f".nav a >> text={name}")
        expect(phone.locator(".nav [aria-current=page]")).to_contain_text(name)
    for name in ("Compare", "Workloads", "Activity", "Alerts", "Change my password"):
        phone.click("text=More")
        phone.click(f"#account >> text={name}")
        expect(phone.locator("h1")).to_have_text(name)
    phone.goto(f"{stack.url}/clients/")
    phone.locator("#client-rows summary").first.click()
    phone.locator("#client-rows details").first.get_by_text("Disable").click()
    phone.click("#dialog >> text=Keep ")
    phone.click("text=More")
    phone.click("#account >> text=Sign out")
    phone.wait_for_url("**/sign-in/**")


# ---- activity


def test_acts_are_narrowed_and_paged(stack: Stack, done: str, page: Page):
    for n in range(51):
        stack.session(name=f"plan-{n}", start=False)
    page.goto(f"{stack.url}/activity/")
    rows = page.locator("#activity-rows tbody tr")
    expect(rows).to_have_count(50)
    page.click("[rel=next]")
    expect(rows.last).to_contain_text("invitation")
    with refreshed(page, "#activity-rows"):
        stack.ended(stack.session(name="meanwhile", rounds=1, cohort_size=2))
    expect(page.locator(".pager")).to_contain_text("Page 2")
    expect(rows.last).to_contain_text("invitation")
    page.click("[rel=prev]")
    expect(rows.first).to_contain_text("meanwhile")
    for area, text in (("clients", ""), ("models", ""), ("alerts", ""), ("invitations", "invitation")):
        press(page, "area", area)
        expect(page.locator("#activity-rows")).to_contain_text(text or "Nothing like this was done")
        expect(page).to_have_url(re.compile(f"area={area}"))
    page.select_option("[name=by]", "alice")
    expect(page.locator("#activity-rows")).to_contain_text("Nothing like this was done")  # a command made it
    page.click("#activity-rows >> text=Show all")
    expect(rows).to_have_count(50)
    press(page, "area", "sessions")
    expect(page.locator("#activity-rows")).to_have_attribute("hx-get", re.compile("area=sessions"))
    page.click("[rel=next]")
    expect(rows.last).to_contain_text("done")
    press(page, "area", "")
    expect(rows.first).to_contain_text("meanwhile")
    page.locator("#activity-rows tbody a").first.click()
    expect(page.locator("h1")).to_have_text("meanwhile")


# ---- alerts


@contextmanager
def webhook() -> Iterator[tuple[str, list[bytes]]]:
    """An address that takes what is posted to it, and what it got."""
    got: list[bytes] = []

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Taker) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/", got
        server.shutdown()


def test_a_rule_is_switched_off_and_on_and_tried(stack: Stack, done: str, page: Page):
    page.goto(stack.url)
    page.keyboard.press("Control+k")
    page.keyboard.type("new alert rule")
    page.keyboard.press("Enter")
    page.select_option("#id_kind", "client_silent")
    page.uncheck("#id_enabled")
    page.click("main >> text=Keep the rule")
    page.wait_for_url("**/alerts/")
    told(page, "The rule is kept.")
    rule = page.locator("[data-rule]", has_text="A client is silent")
    expect(rule).to_contain_text("Off.")
    page.click("#new-rule")
    page.click("#dialog >> text=Not now")
    expect(page.locator("#dialog")).to_be_hidden()
    with webhook() as (url, got):
        rule.get_by_text("Change").click()
        page.fill("#id_minutes", "7")
        page.check("#id_enabled")
        page.fill("#id_webhook_url", url)
        page.click("#dialog button.btn--primary")
        expect(rule).to_contain_text("7 minutes")
        expect(rule).not_to_contain_text("Off.")
        rule.get_by_role("button", name="Test").click()
        told(page, "A test went to the webhook.")
        assert b"This is a test" in got[0]
    rule.get_by_text("Delete").click()
    page.click("#dialog >> text=Keep it")
    expect(rule).to_have_count(1)
    rule.get_by_text("Delete").click()
    agree(page, "Delete the rule")
    expect(rule).to_have_count(0)


MANY = """from federation.models import Alert, AlertRule, TrainingSession
rule, session = AlertRule.objects.create(kind="round_waits"), TrainingSession.objects.get(name="done")
Alert.objects.bulk_create(Alert(rule=rule, cause=str(n), sentence=f"cause {n}.", session=session) for n in range(32))"""


def test_alerts_are_paged_and_acknowledged(stack: Stack, done: str, page: Page):
    stack.shell(MANY)
    page.goto(f"{stack.url}/alerts/")
    alerts = page.locator("[data-alert]")
    expect(alerts).to_have_count(30)
    expect(page.locator("#alert-count")).to_have_text("32")
    page.click("[rel=next]")
    expect(alerts).to_have_count(2)
    page.click("[rel=prev]")
    alerts.first.get_by_text("Acknowledge").click()
    told(page, "1 alert acknowledged.")
    expect(page.locator("#alert-count")).to_have_text("31")
    expect(alerts.first).to_contain_text("cause 30.")
    page.click("nav[aria-label='Which alerts'] >> text=All")
    expect(alerts.first).to_contain_text("acknowledged by alice")
    page.click("[rel=next]")
    expect(alerts).to_have_count(2)
    page.click("#acknowledge-all")
    told(page, "31 alerts acknowledged.")
    expect(page.locator("#alert-count")).to_be_hidden()
    expect(page.locator("[data-alert].is-done")).to_have_count(2)  # still on the second page
    page.click("nav[aria-label='Which alerts'] >> text=Open")
    expect(page.locator("#alerts")).to_contain_text("Nothing is open")
    page.go_back()
    alerts.first.get_by_text("Open").click()
    expect(page.locator("h1")).to_have_text("done")


ABOUT_A_CLIENT = """from federation.models import Alert, AlertRule, Client
rule, client = AlertRule.objects.create(kind="client_silent"), Client.objects.get(name="site-1")
Alert.objects.create(rule=rule, cause="silence", sentence="site-1 was silent.", client=client)"""


def test_an_alert_leads_to_its_client_on_a_phone(stack: Stack, done: str, phone: Page):
    stack.shell(ABOUT_A_CLIENT)
    phone.goto(f"{stack.url}/alerts/")
    phone.locator("[data-alert]", has_text="site-1 was silent.").get_by_text("Open").click()
    expect(phone.locator("h1")).to_contain_text("site-1")


def test_a_rule_tells_of_a_loss_that_is_so_many_times_the_best(stack: Stack, page: Page):
    page.goto(f"{stack.url}/alerts/")
    page.click("#new-rule")
    page.select_option("#id_kind", "loss_diverged")
    page.fill("#id_factor", "1")
    page.click("#dialog button.btn--primary")
    expect(page.locator("#dialog [data-field=factor] .field__error")).to_be_visible()
    page.fill("#id_factor", "3.5")
    page.click("#dialog button.btn--primary")
    rule = page.locator("[data-rule]", has_text="over 3.5 times the best")
    expect(rule).to_have_count(1)
    rule.get_by_text("Delete").click()
    agree(page, "Delete the rule")
    expect(rule).to_have_count(0)
