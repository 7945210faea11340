import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from django.template.loader import render_to_string
from django.test import Client as Browser
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from dashboard.kit import plotly
from dashboard.kit.plotly import PlotlyFinder
from federation.models import Client, TrainingSession
from tests.dashboard.cast import HTMX, finish_round, stream

Enrol = Callable[..., list[Client]]
Create = Callable[..., TrainingSession]
PAGES = ["overview", "sessions", "session_new", "clients", "invite", "password"]


class Inline(HTMLParser):
    """Collects what the policy forbids: inline scripts, styles and handlers."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        data = given.get("type") == "application/json"
        if tag == "style" or (tag == "script" and "src" not in given and not data):
            self.found.append(tag)
        self.found += [name for name in given if name == "style" or name.startswith(("on", "hx-on"))]
        self.found += [value for value in given.values() if value and value.startswith(("javascript:", "js:"))]


def assert_keeps_the_policy(html: str) -> None:
    parser = Inline()
    parser.feed(html)
    assert parser.found == []
    assert not re.search(r"https?://(?!www\.w3\.org|testserver)", html), "nothing comes from elsewhere"


def test_every_page_keeps_the_content_security_policy(browser: Browser, running: TrainingSession) -> None:
    stream(running, "anna", [1.0, 0.5])
    for name in PAGES:
        answer = browser.get(reverse(name))
        assert answer.status_code == 200, name
        assert "script-src 'self'" in answer["Content-Security-Policy"], name
        assert_keeps_the_policy(answer.content.decode())


@pytest.mark.parametrize("name", ["session", "session_cancel"])
def test_a_sessions_pages_keep_the_content_security_policy(
    browser: Browser, running: TrainingSession, name: str
) -> None:
    finish_round(running, "anna", "ben", "carl", train_loss=0.5)
    assert_keeps_the_policy(browser.get(reverse(name, args=[running.pk])).content.decode())


def test_pages_without_a_session_keep_the_policy_too(browser: Browser, stranger: Browser) -> None:
    for page in (browser.get("/"), browser.get("/sessions/"), stranger.get("/sign-in/"), browser.get("/nowhere/")):
        assert_keeps_the_policy(page.content.decode())


@pytest.mark.parametrize("template", ["403.html", "403_csrf.html", "404.html", "500.html"])
def test_error_pages_need_neither_a_request_nor_the_database(template: str) -> None:
    html = render_to_string(template)
    assert "Control room" in html
    assert_keeps_the_policy(html)


def test_htmx_neither_evaluates_text_nor_writes_styles(browser: Browser) -> None:
    page = browser.get("/").content.decode()
    config = re.search(r"name=\"htmx-config\"\s+content='([^']*)'", page)
    assert config
    assert '"allowEval": false' in config[1]
    assert '"includeIndicatorStyles": false' in config[1]


def test_a_part_that_just_came_hears_of_the_next_change(browser: Browser) -> None:
    assert '"defaultSettleDelay": 0' in browser.get("/").content.decode()  # htmx binds its events only after it


def test_plotly_finds_the_element_that_keeps_it_from_writing_map_styles() -> None:
    ids = set(re.findall(r'getElementById\("([0-9a-f]{64})"\)', plotly.bundle().read_text()))
    assert ids == {plotly.MAP_STYLE_ID}


def test_plotly_is_served_behind_a_hint_to_compile_it_while_it_arrives(tmp_path: Path, settings: Any) -> None:
    settings.FL_DATA_DIR = tmp_path
    found = Path(PlotlyFinder().find("vendor/plotly.min.js"))
    assert found.is_relative_to(tmp_path) and found.read_bytes() == plotly.HINT + plotly.bundle().read_bytes()
    before = found.stat().st_mtime_ns
    ((name, storage),) = PlotlyFinder().list(None)
    assert Path(storage.path(name)) == found and found.stat().st_mtime_ns == before
    assert list(found.parent.iterdir()) == [found], "nothing half written is left"


def test_the_chart_page_carries_what_keeps_plotly_from_writing_styles(
    browser: Browser, running: TrainingSession
) -> None:
    page = browser.get(reverse("session", args=[running.pk])).content.decode()
    assert f'id="{plotly.MAP_STYLE_ID}"' in page
    assert re.search(r'<link[^>]*id="plotly.js-style-global"[^>]*class="no-inline-styles"', page)


# ---- nothing yet


def test_the_list_of_sessions_says_what_will_be_there(browser: Browser) -> None:
    assert "No session yet" in browser.get("/sessions/").content.decode()


def test_the_list_of_clients_says_how_one_comes(browser: Browser) -> None:
    page = browser.get("/clients/").content.decode()
    assert "No client has joined yet" in page
    assert "No code is open" in page


def test_the_session_page_of_a_draft_says_what_is_missing(browser: Browser, create: Create) -> None:
    page = browser.get(reverse("session", args=[create().pk])).content.decode()
    assert "Not started yet" in page
    assert "No round has opened yet" in page
    assert "The initial model is made when the session starts" in page


def test_a_filter_that_fits_nothing_says_so(browser: Browser, create: Create) -> None:
    create()
    page = browser.get("/sessions/?status=failed").content.decode()
    assert "No session is failed" in page
    assert "first" not in browser.get("/sessions/rows/?status=failed", headers=HTMX).content.decode()


# ---- the list of sessions


def test_sessions_are_listed_newest_first_and_paged(browser: Browser, create: Create) -> None:
    for n in range(27):
        create(name=f"run-{n:02}")
    first, second = (browser.get(f"/sessions/?page={n}").content.decode() for n in (1, 2))
    assert first.index("run-26") < first.index("run-25")
    assert "run-01" not in first
    assert "run-01" in second
    assert "Page 1 of 2" in first


def test_sessions_are_filtered_by_status(browser: Browser, create: Create) -> None:
    create(name="kept-back")
    create(start=True, name="on-its-way")
    page = browser.get("/sessions/?status=draft").content.decode()
    assert "kept-back" in page
    assert "on-its-way" not in page


# ---- the frame


def test_text_from_clients_never_becomes_markup(browser: Browser, create: Create) -> None:
    session = create(name="<script>alert(1)</script>")
    page = browser.get(reverse("session", args=[session.pk])).content.decode()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_the_theme_that_was_chosen_is_in_the_first_byte(browser: Browser) -> None:
    browser.cookies["theme"] = "dark"
    assert '<html lang="en" data-theme="dark">' in browser.get("/clients/").content.decode()
    browser.cookies["theme"] = '"><b>'
    assert '<html lang="en">' in browser.get("/clients/").content.decode()


def test_the_palette_finds_sessions_and_clients(browser: Browser, running: TrainingSession) -> None:
    found = {one["name"]: one for one in browser.get(reverse("find")).json()["found"]}
    assert found["first"]["go"] == reverse("session", args=[running.pk])
    assert found["anna"]["hint"] == "client, busy"
    assert found["synthetic"]["go"] == reverse("workload", args=["synthetic"])


def test_a_page_joins_its_logs_where_they_ended(browser: Browser, running: TrainingSession) -> None:
    page = browser.get(reverse("session", args=[running.pk])).content.decode()
    running.refresh_from_db()
    assert f'content="/ws/sessions/{running.pk}/" data-after="{running.last_seq}"' in page
    assert re.search(r'content="/ws/server/" data-after="[1-9]', page)


# ---- queries


def test_the_overview_asks_no_more_for_more_clients_sessions_and_results(
    browser: Browser, enrol: Enrol, create: Create, ticking: None, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    enrol(*(f"site-{n}" for n in range(12)))
    for n in range(8):
        create(start=n % 2 == 0, name=f"run-{n}")
    with django_assert_max_num_queries(90):  # four of them run without a round and say why, in about ten queries each
        browser.get("/")


@pytest.mark.parametrize(("path", "most"), [("/clients/", 17), ("/sessions/", 12), ("/clients/rows/", 11)])
def test_lists_ask_the_same_for_many_rows(
    browser: Browser,
    enrol: Enrol,
    create: Create,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    path: str,
    most: int,
) -> None:
    enrol(*(f"site-{n}" for n in range(30)))
    for n in range(20):
        create(name=f"run-{n}")
    with django_assert_max_num_queries(most):
        browser.get(path)


QUERIES = {"session": 49, "session_head": 12, "session_round": 16, "session_history": 13, "session_events": 6}


def test_a_sessions_page_and_fragments_ask_little(
    browser: Browser, running: TrainingSession, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(2):
        finish_round(running, "anna", "ben", "carl", train_loss=0.5)
    for name, most in QUERIES.items():
        with django_assert_max_num_queries(most, info=name):
            browser.get(reverse(name, args=[running.pk]), headers={} if name == "session" else HTMX)
