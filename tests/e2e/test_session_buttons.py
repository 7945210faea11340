"""What one presses on a session's page beside its curves and acts: older rounds, measures, events, and ways on."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.browser import needs_browser, pressing, told
from tests.e2e.sessions import learned
from tests.e2e.stack import Stack, until
from tests.e2e.test_curve_buttons import asked, look, shows

pytestmark = needs_browser
LONG = 22  # rounds: a page of ten and a page of twenty do not hold them
TALK = 10_001  # entries, one more than are searched for a text


@pytest.fixture(scope="module")
def stack(two_sites: Stack) -> Stack:
    return two_sites


@pytest.fixture(scope="module")
def done(stack: Stack) -> str:
    return learned(stack)


@pytest.fixture(scope="module")
def long(stack: Stack) -> str:
    """Many rounds that are over."""
    session = stack.session(name="long", rounds=LONG, cohort_size=2)
    stack.ended(session)
    return session


def test_older_rounds_and_models(stack: Stack, long: str, page: Page):
    look(page, stack, long)
    rounds = page.locator("#rounds tbody tr")
    expect(rounds).to_have_count(10)
    page.click("#rounds >> text=Show older rounds and models")
    expect(rounds).to_have_count(LONG)
    expect(page.locator("#models [data-version]")).to_have_count(LONG + 1)
    expect(page.locator("#rounds button")).to_have_count(0)
    span = page.locator("#timeline .pager span")
    expect(span).to_have_text(f"Rounds {LONG - 19} to {LONG}")
    page.click("#timeline-table summary")
    expect(page.locator("#timeline-table table")).to_be_visible()
    page.click("#timeline-older")
    expect(span).to_have_text(f"Rounds 1 to {LONG - 20}")
    expect(page.locator("#timeline-table table")).to_be_visible()
    page.reload()
    expect(span).to_have_text(f"Rounds 1 to {LONG - 20}")
    page.click("#timeline-newer")
    expect(span).to_have_text(f"Rounds {LONG - 19} to {LONG}")
    assert asked(page, "upto") == ""


def test_updates_by_round_in_each_measure(stack: Stack, done: str, page: Page):
    look(page, stack, done)
    foot = page.locator("#data .cols__all .card__foot")
    for key, said in (("cosine", "points the way"), ("examples", "trained on"), ("norm", "L2 norm")):
        page.click(f"#by-{key}")
        expect(page.locator(f"#by-{key}")).to_have_attribute("aria-pressed", "true")
        expect(foot).to_contain_text(said)
        assert asked(page, "by") == ("" if key == "norm" else key)
    page.click("#by-examples")
    until(lambda: asked(page, "by") == "examples", seconds=10)
    page.reload()
    expect(page.locator("#by-examples")).to_have_attribute("aria-pressed", "true")


def test_events_are_narrowed(stack: Stack, long: str, page: Page):
    look(page, stack, long)
    lines = page.locator("#events-scroll li")
    expect(lines).to_have_count(50)
    page.click("#events-more")
    until(lambda: lines.count() > 100, seconds=10)
    page.select_option("#events-kind", "round.opened")
    expect(lines).to_have_count(LONG)
    page.select_option("#events-kind", "")
    page.select_option("#events-client", label="site-2")
    until(lambda: asked(page, "client"), seconds=10)
    assert all("site-2" in line for line in lines.all_inner_texts())
    page.select_option("#events-kind", "update.received")
    expect(lines).to_have_count(LONG)
    page.reload()
    expect(lines).to_have_count(LONG)
    expect(page.locator("#events-client option:checked")).to_have_text("site-2")
    page.select_option("#events-client", "")
    page.select_option("#events-kind", "")
    page.fill("#events-find", "round 7")
    until(lambda: asked(page, "find") == "round 7", seconds=10)
    assert "Round 7" in lines.first.inner_text()
    assert lines.count() < 20
    page.fill("#events-find", "no such words")
    page.click("#events >> text=Show all events")
    expect(lines).to_have_count(50)
    page.check("#events-problems")
    expect(page.locator("#events")).to_contain_text("No problem so far.")
    assert asked(page, "show") == "problems"
    page.check("#events-people")
    expect(lines).to_have_count(2)  # created and started
    page.check("#events-all")
    expect(lines).to_have_count(50)


def test_older_events_are_those_of_what_one_just_typed(stack: Stack, long: str, page: Page):
    look(page, stack, long)
    page.route(re.compile(r"/events/\?show="), lambda route: None)  # the answer to what is typed does not come
    page.fill("#events-find", "round 7")
    page.click("#events-more")
    until(lambda: asked(page, "find") == "round 7", seconds=10)
    expect(page.locator("#events-find")).to_have_value("round 7")
    lines = page.locator("#events-scroll li").all_inner_texts()
    assert 0 < len(lines) < 20 and all("ound 7" in line for line in lines)


@pytest.fixture
def waiting(stack: Stack, page: Page) -> Iterator[str]:
    """The page of a session whose log says only what people do: it waits for more clients than there are."""
    session = stack.session(name="waiting", quorum=9, cohort_size=9)
    until(lambda: stack.get(f"/sessions/{session}")["model"], seconds=20)
    page.goto(f"{stack.url}/sessions/{session}/")
    expect(page.locator("[data-conn]")).to_have_attribute("data-state", "live")
    yield session
    stack.post(f"/sessions/{session}/cancel")


def test_what_changes_while_a_part_is_on_its_way_is_fetched_again(stack: Stack, page: Page, waiting: str):
    held: list[Route] = []
    page.route("**/head/", lambda route: route.continue_() if held else held.append(route))
    stack.post(f"/sessions/{waiting}/pause").raise_for_status()
    until(lambda: page.wait_for_timeout(50) or held, seconds=10)
    paused = held[0].fetch()
    stack.post(f"/sessions/{waiting}/resume").raise_for_status()
    page.wait_for_timeout(2000)  # in which the page hears of it
    with page.expect_request("**/head/"):
        held[0].fulfill(response=paused)
    expect(page.locator("[data-session-status=running]")).to_be_visible()


def test_what_one_types_into_the_events_outlives_their_refresh(stack: Stack, page: Page, waiting: str):
    held: list[Route] = []
    page.route("**/events/?*", lambda route: held.append(route) if not held else route.continue_())
    stack.post(f"/sessions/{waiting}/pause").raise_for_status()
    until(lambda: page.wait_for_timeout(50) or held, seconds=10)
    find = page.locator("#events-find")
    find.press_sequentially("paused")
    held[0].continue_()
    until(lambda: asked(page, "find"), seconds=10)
    expect(find).to_have_value("paused")
    expect(page.locator("#events-scroll li")).to_have_count(1)
    page.unroute("**/events/?*")


def test_a_whole_log_is_searched_if_one_asks(stack: Stack, page: Page):
    session = stack.session(name="talkative", start=False)
    written = f"""
from django.db import transaction
from federation import events
with transaction.atomic():
    events.record_all({session}, [(events.Event.Kind.SESSION_PAUSED, {{"by": "bob"}})] * {TALK})
"""
    stack.shell(written)
    page.goto(f"{stack.url}/sessions/{session}/")
    page.fill("#events-find", "alice created")
    unread = page.locator("#events-unread")
    expect(unread).to_contain_text(
        re.compile(r"The newest 10.000 events were searched, 2 older\s+ones not\."), timeout=20_000
    )
    page.click("#events-deeper")
    expect(page.locator("#events-scroll li")).to_have_count(1)
    expect(unread).to_have_count(0)
    assert asked(page, "deep") == "1"


def test_ways_on_from_a_session(stack: Stack, done: str, page: Page):
    look(page, stack, done)
    for place in ("Past rounds", "Data and contribution", "Models", "Events", "Settings", "Live"):
        page.click(f".section-nav >> text={place}")
        expect(page.locator(".section-nav a", has_text=place)).to_have_attribute("href", f"#{page.url.split('#')[1]}")
        expect(page.locator(f"#{page.url.split('#')[1]}")).to_be_in_viewport()
    with page.expect_download() as download:
        page.click(".page-head a[download]")
    assert download.value.suggested_filename.endswith(".safetensors")
    newest = stack.get(f"/sessions/{done}")["model"]["version"]
    ways = {
        "#models >> text=Start from best": rf"start={done}:\d",
        "#session-menu >> text=Start a session from": f"start={done}:{newest}",
        "#session-menu >> text=Change and run again": f"from={done}",
        ".actions >> text=Change and run again": f"from={done}",
        "#settings >> text=Change and run again": f"from={done}",
    }
    for way, query in ways.items():
        look(page, stack, done)
        if "menu" in way:
            page.click("#session-menu summary")
        page.click(way)
        page.wait_for_url(re.compile(rf"/sessions/new/\?{query}$"))
        chosen = page.input_value("#id_start_from")
        assert chosen == (page.url.partition("start=")[2] if "start" in query else "")
        assert page.input_value("#id_name") == "done 2"
    look(page, stack, done)
    page.click(".crumbs a")
    page.wait_for_url("**/sessions/")


@pytest.mark.parametrize("seen_on", ["page", "phone"])
def test_an_opened_version_leads_to_where_it_came_from(
    stack: Stack, done: str, request: pytest.FixtureRequest, seen_on: str
):
    page: Page = request.getfixturevalue(seen_on)
    leads = {"The whole lineage": "done, v2", "v1": "done, v1", "site-1": "site-1"}
    for text, heading in leads.items():
        look(page, stack, done)
        page.click("#open-v2")
        page.locator(".opened a", has_text=text).click()
        expect(page.locator("h1")).to_contain_text(heading)
        page.go_back()
        expect(page.locator(".opened")).to_be_visible()
        page.click("#open-v2")
        expect(page.locator(".opened")).to_have_count(0)


@pytest.mark.parametrize("way", ["#session-menu >> text=Run again", ".actions >> text=Run again"])
def test_a_session_is_run_again(stack: Stack, long: str, page: Page, way: str):
    look(page, stack, long)
    if "menu" in way:
        page.click("#session-menu summary")
    page.click(way)
    page.wait_for_url(lambda url: f"/{long}/" not in url)
    told(page, "is launched.")
    again = page.url.rstrip("/").rpartition("/")[2]
    same = ("rounds", "workload", "strategy", "train", "quorum", "cohort_size", "round_seconds", "seed")
    was, now = (stack.get(f"/sessions/{one}") for one in (long, again))
    assert {name: now[name] for name in same} == {name: was[name] for name in same}
    assert stack.ended(again)["status"] == "completed"


def test_a_phone_has_every_control_of_the_page(stack: Stack, done: str):
    with pressing(stack.url, width=390) as page:
        page.set_viewport_size({"width": 390, "height": 844})
        look(page, stack, done)
        page.click("[data-theme-toggle]")
        page.check("[data-curves] [name=x][value=epoch]")
        shows(page, "layout.xaxis.title.text", "epoch")
        page.click("[data-legend] [data-name=site-2]")
        assert asked(page, "only") == "site-2"
        page.click("#open-v1")
        expect(page.locator("#panel-safetensors")).to_be_visible()
        page.click("#tab-torch")
        expect(page.locator("#panel-torch")).to_be_visible()
        page.click("#session-menu summary")
        for item in page.locator("#session-menu .menu__list :is(a, button)").all():
            box = item.bounding_box()
            assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 390, item.inner_text()
        page.keyboard.press("Escape")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.click(".nav__more")
        expect(page.locator("#account")).to_be_visible()
        page.click("#account >> text=Close")
        expect(page.locator("#account")).to_be_hidden()
        for place in ("Compare", "Activity", "Alerts"):
            page.click(".nav__more")
            page.click(f"#account >> text={place}")
            page.wait_for_url(f"**/{place.lower()}/")
