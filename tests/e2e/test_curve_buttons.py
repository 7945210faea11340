"""The card of the curves, and the global model's: every control, what it draws, and that a reload keeps it."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import needs_browser
from tests.e2e.plain import PlainClient
from tests.e2e.sessions import learned
from tests.e2e.stack import Stack, until
from tests.e2e.test_browser import reported

pytestmark = needs_browser
CROWD = 21  # one more than have a colour of their own


@pytest.fixture(scope="module")
def stack(two_sites: Stack) -> Stack:
    return two_sites


@pytest.fixture(scope="module")
def done(stack: Stack) -> str:
    return learned(stack)


@pytest.fixture(scope="module")
def crowd(stack: Stack, done: str) -> str:
    """A round of many clients, of which one reported a loss that is far above all others."""
    clients = [PlainClient(stack, f"crowd-{n:02}", 100, n) for n in range(1, CROWD + 1)]
    for one in stack.get("/clients", limit=1000)["items"]:
        if one["name"].startswith("crowd"):
            stack.http.patch(f"{stack.url}/api/v1/clients/{one['id']}", json={"tags": ["crowd"]}).raise_for_status()
    session = stack.session(name="crowd", rounds=1, quorum=CROWD, client_tags=["crowd"])
    for n, client in enumerate(clients):
        work = client.work()
        losses = [1 / (step + 1) + 0.01 * n for step in range(40)]
        losses[20] += 50 if n == 6 else 0
        points = [{"name": "train_loss", "step": step, "value": loss} for step, loss in enumerate(losses)]
        body = {"phase": "training", "fraction": 1.0, "metrics": points}
        client.http.post(f"{stack.url}/api/v1/participations/{work['participation']}/progress", json=body)
        assert client.put(work, client.update(work)[1]) == 204
        client.http.post(f"{stack.url}/api/v1/clients/me/leave")
    stack.ended(session)
    return session


def look(page: Page, stack: Stack, session: str, query: str = "") -> None:
    page.goto(f"{stack.url}/sessions/{session}/{query}")
    drawn(page)


def drawn(page: Page) -> None:
    expect(page.locator("#curves[data-ready=true] .nsewdrag")).to_be_attached(timeout=30_000)


def shows(page: Page, what: str, value: Any) -> None:
    """Wait until the chart is drawn so. what: of Plotly's full `layout` and its traces, `data`."""
    script = (
        f"(() => {{ const {{ _fullLayout: layout, data }} = document.getElementById('curves'); return {what}; }})()"
    )
    until(lambda: page.evaluate(script) == value, seconds=10, why=f"{what} to be {value}")


def asked(page: Page, name: str) -> str:
    """What the address says."""
    return page.evaluate("name => new URLSearchParams(location.search).get(name) ?? ''", name)


def test_the_curves_axes_scale_metric_and_smoothing(stack: Stack, done: str, page: Page):
    look(page, stack, done)
    card = page.locator("[data-curves]")
    titles = {"step": "step", "epoch": "epoch", "time": "minutes since the start", "round": "round"}
    for value, title in titles.items():
        card.locator(f"[name=x][value={value}]").check()
        shows(page, "layout.xaxis.title.text", title)
        assert asked(page, "x") == ("" if value == "round" else value)
    card.locator("[name=x][value=epoch]").check()
    card.locator("[name=y][value=log]").check()
    shows(page, "layout.yaxis.type", "log")
    card.locator("[name=smooth]").fill("0")
    expect(card.locator("output")).to_have_text("0.00")
    shows(page, "String(data[0].y) === String(data[1].y)", True)
    card.locator("[name=smooth]").fill("0.9")
    expect(card.locator("output")).to_have_text("0.90")
    shows(page, "String(data[0].y) === String(data[1].y)", False)
    card.get_by_text("Validation accuracy").click()
    expect(page.locator("#curves")).to_have_attribute("data-metric", "val_accuracy")
    shows(page, "layout.yaxis.tickformat", "~g")
    for metric in ("train_loss", "val_loss", "base_val_loss", "base_val_accuracy", "val_accuracy"):
        page.click(f"[data-metrics] label:has([value={metric}])")
        expect(page.locator("#curves")).to_have_attribute("data-metric", metric)
    page.reload()
    drawn(page)
    assert {name: asked(page, name) for name in ("x", "y", "smooth", "metric")} == {
        "x": "epoch", "y": "log", "smooth": "0.9", "metric": "val_accuracy",
    }  # fmt: skip
    shows(page, "[layout.xaxis.title.text, layout.yaxis.type, layout.yaxis.tickformat]", ["epoch", "log", "~g"])
    for chosen in ("x][value=epoch", "y][value=log", "metric][value=val_accuracy"):
        expect(card.locator(f"[name={chosen}]")).to_be_checked()
    expect(card.locator("[name=smooth]")).to_have_value("0.9")
    card.locator("[name=y][value=linear]").check()
    shows(page, "layout.yaxis.type", "linear")


def drag(page: Page, *, height: float = 1.0) -> None:
    """Over the middle of the chart. height: 0 for along the axis alone."""
    box, before = page.locator("#curves .nsewdrag").bounding_box(), asked(page, "zoom")
    assert box is not None
    at = [(box["x"] + s * box["width"], box["y"] + (0.5 + height * (s - 0.5)) * box["height"]) for s in (0.3, 0.5, 0.7)]
    page.mouse.move(*at[0])
    page.mouse.down()
    for point in at[1:]:
        page.mouse.move(*point, steps=5)
    page.mouse.up()
    until(lambda: asked(page, "zoom") not in ("", before), seconds=10, why="the zoom in the address")


def zoom(page: Page) -> None:
    drag(page)
    expect(page.locator("[data-count]")).to_contain_text("every one in sight drawn")


def back_by_two_clicks(page: Page) -> bool:
    """Whether that did it: on a busy machine two clicks may come too far apart to count as one."""
    page.locator("#curves .nsewdrag").dblclick()
    page.wait_for_timeout(500)
    return not asked(page, "zoom")


def test_the_curves_are_zoomed_into_and_back(stack: Stack, done: str, page: Page):
    look(page, stack, done)
    whole = page.evaluate("[...document.getElementById('curves')._fullLayout.xaxis.range]")
    zoom(page)
    part = [float(one) for one in asked(page, "zoom").split(",")]
    assert whole[0] < part[0] < part[1] < whole[1]
    page.reload()
    drawn(page)
    shows(page, "layout.xaxis.range.map((v) => Number(v.toPrecision(5)))", part[:2])
    shows(page, "layout.yaxis.range.map((v) => Number(v.toPrecision(5)))", part[2:])
    expect(page.locator("[data-count]")).to_contain_text("every one in sight drawn")
    page.click("[data-chart=reset]")
    shows(page, "layout.xaxis.range", whole)
    assert asked(page, "zoom") == ""
    zoom(page)
    until(lambda: back_by_two_clicks(page), seconds=15)
    shows(page, "layout.xaxis.range", whole)
    zoom(page)
    page.keyboard.press("r")
    shows(page, "layout.xaxis.range", whole)
    assert asked(page, "zoom") == ""
    page.mouse.move(0, 0)
    expect(page.locator("[data-readout]")).to_be_hidden()
    page.locator("#curves .nsewdrag").hover()
    readout = page.locator("[data-readout]")
    expect(readout).to_contain_text("round 2, ")
    expect(readout).to_contain_text("site-1")
    expect(readout).to_contain_text("site-2")


def test_clients_are_isolated_in_the_legend(stack: Stack, done: str, page: Page):
    look(page, stack, done)
    one, two = (page.locator(f"[data-legend] [data-name=site-{n}]") for n in (1, 2))
    faint = "['site-1', 'site-2'].map((of) => data.findLast(({ name }) => name === of).line.color.includes('0.16'))"
    shows(page, faint, [False, False])
    one.click()
    shows(page, faint, [False, True])
    assert asked(page, "only") == "site-1"
    two.click(modifiers=["Shift"])
    shows(page, faint, [False, False])
    assert asked(page, "only") == "site-1,site-2"
    two.click()
    shows(page, faint, [True, False])
    page.reload()
    drawn(page)
    shows(page, faint, [True, False])
    expect(two).to_have_attribute("aria-pressed", "true")
    expect(one).to_have_attribute("aria-pressed", "false")
    page.click("[data-curves-foot] [data-chart=all]")
    shows(page, faint, [False, False])
    assert asked(page, "only") == ""
    expect(page.locator("[data-chart=all]")).to_be_hidden()
    two.click()
    shows(page, faint, [True, False])
    page.locator("h1").click()
    page.keyboard.press("a")
    shows(page, faint, [False, False])
    two.click()
    two.click()  # once more: all again
    shows(page, faint, [False, False])
    page.keyboard.press("Control+k")
    page.keyboard.type("reset the zoom")
    page.keyboard.press("Enter")
    expect(page.locator("#palette")).to_be_hidden()


def test_the_curves_are_taken_along(stack: Stack, done: str, page: Page):
    look(page, stack, done)
    with page.expect_download() as download:
        page.click("[data-curves] a[download]")
    rows = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
    losses = [row for row in rows if row["name"] == "train_loss"]
    assert len(losses) == sum(reported(stack, done).values())
    with page.expect_download() as download:
        page.click("[data-chart=png]")
    assert download.value.suggested_filename == "done-train_loss.png"
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
    page.click("[data-chart=table]")
    expect(page.locator("#dialog-title")).to_have_text("Training loss as a table")
    assert sorted(page.locator("#dialog tbody th").all_inner_texts()) == ["site-1", "site-2"]
    page.click("#dialog [data-close]")
    expect(page.locator("#dialog")).to_be_hidden()


def test_many_clients_are_found_in_the_legend_and_their_spikes_shown(stack: Stack, crowd: str, page: Page):
    look(page, stack, crowd)
    names = page.locator("[data-legend] button:visible")
    expect(names).to_have_count(CROWD)
    page.fill("[name=find][aria-label='Find a client in the list']", "crowd-07")
    expect(names).to_have_count(1)
    names.click()
    shows(page, "data.length", 6)  # the crowd as one, its band and median, and both lines of the one
    page.fill("[name=find][aria-label='Find a client in the list']", "crowd-1")
    expect(names).to_have_count(10)
    names.first.click()  # of many, a second press adds
    shows(page, "data.length", 8)
    assert asked(page, "only") == "crowd-07,crowd-10"
    page.click("[data-curves-foot] [data-chart=all]")
    shows(page, "data.length", 4)
    shows(page, "layout.yaxis.range[1] < 10", True)
    page.click("[data-chart=spikes]")
    shows(page, "layout.yaxis.range[1] > 10", True)
    expect(page.locator("[data-spiky]")).to_be_hidden()
    assert asked(page, "spikes") == "all"
    page.reload()
    drawn(page)
    shows(page, "layout.yaxis.range[1] > 10", True)
    page.click("[data-chart=reset]")
    shows(page, "layout.yaxis.range[1] < 10", True)
    assert asked(page, "spikes") == ""


def test_dark_is_drawn_at_once_and_kept(stack: Stack, done: str, page: Page):
    look(page, stack, done)
    ink = "layout.xaxis.tickfont.color"
    light = page.evaluate(f"(({{ _fullLayout: layout }}) => {ink})(document.getElementById('curves'))")
    page.click("[data-theme-toggle]")
    shows(page, f"{ink} === '{light}'", False)
    dark = page.evaluate(f"(({{ _fullLayout: layout }}) => {ink})(document.getElementById('curves'))")
    page.reload()
    drawn(page)
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    shows(page, ink, dark)
    page.click("[data-theme-toggle]")
    shows(page, ink, light)


def test_the_global_model_by_accuracy_loss_and_as_a_table(stack: Stack, done: str, page: Page):
    look(page, stack, done)
    figure = page.locator("#global")
    expect(figure).to_have_attribute("aria-label", re.compile("^accuracy by version"))
    page.check("[name=measure][value=loss]")
    expect(figure).to_have_attribute("aria-label", re.compile("^loss by version"))
    page.check("[name=measure][value=accuracy]")
    expect(figure).to_have_attribute("aria-label", re.compile("^accuracy by version"))
    page.click("[data-global-table]")
    expect(page.locator("#dialog-title")).to_have_text("The global model as a table")
    expect(page.locator("#dialog tbody th")).to_have_text(["v3", "v2", "v1", "v0"])
    page.keyboard.press("Escape")
    expect(page.locator("#dialog")).to_be_hidden()


MANY_POINTS = """
import math
from django.utils import timezone
from federation.models import Metric, Participation
now = timezone.now()
for seat in Participation.objects.filter(round__session={session}):
    Metric.objects.bulk_create(
        [Metric(session_id={session}, participation=seat, name="train_loss", step=step, value=math.exp(-step / 9000),
                time=now) for step in range(1000, 51_000)], batch_size=5000)
"""


def test_a_session_of_many_points_is_drawn_in_full_where_one_zooms_in(stack: Stack, page: Page):
    session = stack.session(name="large", rounds=1, cohort_size=2)
    stack.ended(session)
    stack.shell(MANY_POINTS.format(session=session))
    look(page, stack, session)
    count = page.locator("[data-count]")
    expect(count).to_contain_text("of each stretch the lowest, the highest and the last", ignore_case=True)
    expect(count).to_contain_text(re.compile(r"100.0\d\d points"))
    for _ in range(5):  # 512 points of each client are in sight then, fewer than there are pixels
        drag(page, height=0)
    expect(count).to_contain_text("every one in sight drawn", timeout=20_000)
    page.click("[data-chart=reset]")
    expect(count).to_contain_text("zoom in to see all")
