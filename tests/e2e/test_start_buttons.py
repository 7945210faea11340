"""Where sessions begin: every control of the form for a new one, of the overview, and of the first start."""

from __future__ import annotations

import re

import pytest
import requests
from playwright.sync_api import Page, expect

from tests.e2e.browser import WAYS, agree, needs_browser, pressing, told
from tests.e2e.stack import Stack, running, until
from tests.e2e.test_browser import DIGITS

pytestmark = needs_browser


@pytest.fixture(scope="module")
def stack(two_sites: Stack) -> Stack:
    return two_sites


@pytest.fixture(scope="module")
def done(stack: Stack) -> str:
    session = stack.session(name="done", rounds=3, cohort_size=2)
    stack.ended(session)
    return session


def of(page: Page) -> str:
    """The session whose page this is."""
    page.wait_for_url(re.compile(r"/sessions/\d+/"))
    return page.url.rstrip("/").rpartition("/")[2]


# ---- a new session


def test_a_preset_fills_the_form(stack: Stack, done: str, page: Page):
    page.goto(f"{stack.url}/sessions/new/")
    filled = {
        "Quick check": ("digits", "fedavg", "3"),
        "MNIST": ("threes_and_sevens", "fedavg", "20"),
        "Robust": ("digits", "fedmedian", "10"),
        "Uneven data": ("digits", "fedadam", "20"),
        "Load test": ("synthetic", "fedavg", "5"),
        "Balanced": ("digits", "fedavg", "10"),
    }
    for title, expected in filled.items():
        page.click(f".choice >> text={title}")
        expect(page.locator(".choice[aria-current]")).to_contain_text(title)
        assert tuple(page.input_value(f"#id_{name}") for name in ("workload", "strategy", "rounds")) == expected


def test_every_field_of_a_new_session_is_kept_as_typed(stack: Stack, done: str, page: Page):
    page.goto(f"{stack.url}/sessions/new/")
    for name, option in (("workload", "num_parameters"), ("strategy", "beta_1"), ("compression", "fraction")):
        chosen = {"workload": "synthetic", "strategy": "fedadam", "compression": "topk"}[name]
        field = page.locator(f"[name='{name}.{chosen}.{option}']")
        expect(field).to_be_hidden()
        page.select_option(f"#id_{name}", chosen)
        expect(field).to_be_visible()
    assert page.input_value("#id_batch_size") == "32"  # what this workload trains well with
    assert page.input_value("#id_name").startswith("synthetic ")
    typed = {
        "name": "typed", "rounds": "12", "round_time": "1.5", "cohort_size": "2", "client_tags": "GPU, ward",
        "quorum": "1", "epochs": "3", "batch_size": "16", "learning_rate": "0.5", "seed": "7", "max_retries": "4",
        "workload.synthetic.num_parameters": "6000", "compression.topk.fraction": "0.25",
        "strategy.fedadam.server_lr": "0.2", "strategy.fedadam.beta_1": "0.5", "strategy.fedadam.beta_2": "0.9",
        "strategy.fedadam.tau": "0.01",
    }  # fmt: skip
    for name, value in typed.items():
        page.fill(f"[name='{name}']", value)
    page.select_option("#id_round_unit", "min")
    page.check("#id_auto_deadline")
    page.select_option("#id_on_round_failure", "skip")
    page.select_option("#id_late_policy", "next_round")
    page.click("[name=draft]")
    told(page, "typed is kept as a draft.")
    kept = stack.get(f"/sessions/{of(page)}")
    expected = {
        "name": "typed", "status": "draft", "rounds": 12, "round_seconds": 90, "auto_deadline": True, "cohort_size": 2,
        "client_tags": ["gpu", "ward"], "quorum": 1, "seed": 7, "max_retries": 4, "on_round_failure": "skip",
        "late_policy": "next_round", "train": {"epochs": 3, "batch_size": 16, "learning_rate": 0.5},
    }  # fmt: skip
    assert {name: kept[name] for name in expected} == expected
    assert kept["workload"]["options"] == {"num_parameters": 6000}
    assert kept["strategy"]["options"] == {
        "server_lr": 0.2,
        "beta_1": 0.5,
        "beta_2": 0.9,
        "tau": 0.01,
        "bias_correction": False,
    }
    assert kept["compression"] == {"name": "topk", "options": {"fraction": 0.25}}


@pytest.mark.parametrize("seen_on", ["page", "phone"])
def test_mnist_is_downloaded_where_one_ticks_it(stack: Stack, done: str, request: pytest.FixtureRequest, seen_on: str):
    page: Page = request.getfixturevalue(seen_on)
    page.goto(f"{stack.url}/sessions/new/")
    box = page.locator("[name='workload.threes_and_sevens.download']")
    expect(box).to_be_hidden()
    page.select_option("#id_workload", "threes_and_sevens")
    expect(box).not_to_be_checked()
    box.check()
    page.fill("#id_name", f"mnist on a {seen_on}")
    page.click("[name=draft]")
    told(page, f"mnist on a {seen_on} is kept as a draft.")
    session = of(page)
    assert stack.get(f"/sessions/{session}")["workload"]["options"]["download"] is True
    expect(page.locator("#settings div:has(> dt:has-text('download')) dd")).to_have_text("yes")
    page.click(".actions >> text=Change into a new session")
    expect(box).to_be_checked()
    box.uncheck()
    page.click("[name=draft]")
    told(page, f"mnist on a {seen_on} 2 is kept as a draft.")
    assert stack.get(f"/sessions/{of(page)}")["workload"]["options"]["download"] is False


def test_what_cannot_be_is_said_while_one_types_and_when_one_launches(stack: Stack, done: str, page: Page):
    page.goto(f"{stack.url}/sessions/new/")
    error, banner = page.locator("[data-field=rounds] .field__error"), page.locator("[data-form-error]")
    page.fill("#id_rounds", "0")
    expect(error).to_be_visible()
    expect(banner).to_contain_text("1 field needs you: Rounds.")
    page.fill("#id_rounds", "2")
    expect(error).to_be_hidden()
    expect(banner).to_be_hidden()
    before = len(stack.get("/sessions", limit=1000)["items"])
    for name in ("rounds", "seed"):
        page.fill(f"#id_{name}", "many")
    page.click("[name=launch]")
    page.wait_for_selector("[data-field=seed].is-bad")
    expect(error).to_contain_text("'many' is not a whole number.")
    expect(banner).to_contain_text("2 fields need you: ")
    for name in ("Rounds", "Seed"):
        banner.get_by_text(name).click()
        expect(page.locator(f"#id_{name.lower()}")).to_be_in_viewport()
    assert len(stack.get("/sessions", limit=1000)["items"]) == before


def test_choices_that_do_not_fit_together_are_said_beside_the_one_to_change(stack: Stack, done: str, page: Page):
    """Choosing one names the other, though nobody touched that; what fits again is said no longer."""
    page.goto(f"{stack.url}/sessions/new/")
    page.select_option("[name=workload]", "digits")
    page.select_option("[name=selection]", "round_robin")
    selection = page.locator("[data-field=selection]")
    selection.locator(".field__error:visible").wait_for()
    assert "Say how many clients a round asks" in selection.inner_text()
    page.fill("[name=cohort_size]", "1")
    selection.locator(".field__error").wait_for(state="hidden")
    page.select_option("[name=compression]", "int8")
    page.select_option("[name=strategy]", "scaffold")
    compression = page.locator("[data-field=compression]")
    compression.locator(".field__error:visible").wait_for()
    assert "SCAFFOLD needs updates as they were trained. Choose no compression." in compression.inner_text()
    page.select_option("[name=strategy]", "fedavg")
    compression.locator(".field__error").wait_for(state="hidden")


def test_who_would_take_part_and_what_it_would_cost(stack: Stack, done: str, page: Page):
    page.goto(f"{stack.url}/sessions/new/?from={done}")
    who, estimate = page.locator("#who"), page.locator("#estimate")
    expect(who).to_contain_text("Round 1 opens at once with 2 clients.")
    expect(estimate).to_contain_text("from 3 past rounds")
    expect(estimate).to_contain_text("3 rounds")
    page.fill("#id_rounds", "600")
    expect(estimate).to_contain_text("600 rounds")
    page.fill("#id_cohort_size", "1")
    page.fill("#id_quorum", "1")
    expect(who).to_contain_text("1 client is drawn of the 2 online, anew for every round.")
    page.fill("#id_quorum", "9")
    expect(who).to_contain_text("The quorum of 9 cannot be reached: 2 clients are enrolled.")
    page.fill("#id_client_tags", "nobody")
    expect(who).to_contain_text("No client carries the tag nobody.")
    page.select_option("#id_workload", "threes_and_sevens")
    expect(estimate).to_contain_text("No round of this workload with these options has been completed yet.")
    who.get_by_text("its page").click()
    page.wait_for_url("**/clients/")
    page.goto(f"{stack.url}/sessions/new/")
    page.fill("#id_quorum", "9")
    who.get_by_text("invite more").click()
    expect(page.locator("#dialog")).to_contain_text("Invite a client")
    page.click("#dialog >> text=Not now")
    expect(page.locator("#id_quorum")).to_have_value("9")  # what was typed is there still


def test_a_session_is_launched_from_a_model_of_another(stack: Stack, done: str, page: Page):
    page.goto(f"{stack.url}/sessions/new/?from={done}")
    page.select_option("#id_start_from", f"{done}:3")
    page.fill("#id_name", "from v3")
    page.fill("#id_rounds", "1")
    page.click("[name=launch]")
    told(page, "from v3 is launched.")
    session = of(page)
    assert stack.ended(session)["status"] == "completed"
    models = [stack.get(f"/sessions/{one}/models")["items"] for one in (done, session)]
    assert models[1][0]["digest"] == models[0][3]["digest"]
    page.click("#settings dd a >> text=done")
    page.wait_for_url(f"**/sessions/{done}/")


# ---- the overview


def test_an_invitation_is_made_on_the_overview_and_revoked(stack: Stack, done: str, page: Page):
    page.goto(stack.url)
    page.click("#invite-button")
    page.click("#dialog >> text=Not now")
    expect(page.locator("#dialog")).to_be_hidden()
    page.click("#invite-button")
    page.fill("#id_uses", "0")
    page.click("#dialog button.btn--primary")
    expect(page.locator("#dialog .field__error").first).to_be_visible()
    page.fill("#id_uses", "3")
    page.select_option("#id_expires", "3600")
    page.click("#dialog button.btn--primary")
    expect(page.locator("#dialog")).to_contain_text("It works 3 times, until ")
    code = re.findall(r"--join (\S+)", page.inner_text("#panel-one code"))[0]
    for key, said in WAYS:
        page.click(f"#tab-{key}")
        expect(page.locator("#dialog [role=tabpanel]:visible")).to_have_count(1)
        page.click(f"#panel-{key} [data-copy]")
        told(page, "Copied. Paste it on the client's machine.")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert said in copied and code in copied
    page.click("#dialog [data-close]")
    page.click("text=All clients")
    page.wait_for_url("**/clients/")
    row = page.locator("#invitations tbody tr", has_text="3 of 3")
    row.get_by_text("Revoke …").click()
    expect(page.locator("#dialog")).to_contain_text("Nobody can join by it any more. 3 uses of it are lost.")
    page.click("#dialog >> text=Keep it open")
    expect(row).to_have_count(1)
    row.get_by_text("Revoke …").click()
    agree(page, "Revoke the invitation")
    told(page, "is revoked. Clients that joined by it stay.")
    expect(row).to_have_count(0)
    body = {"join_code": code, "name": "late", "info": {}}
    assert requests.post(f"{stack.url}/api/v1/enroll", json=body, timeout=30).status_code == 403


def test_the_overview_leads_to_what_runs_and_what_came_out(stack: Stack, done: str, page: Page):
    page.goto(stack.url)
    waiting = stack.session(name="waiting", quorum=9, cohort_size=9)
    page.click("a.run >> text=waiting")
    page.wait_for_url(f"**/sessions/{waiting}/")
    page.click(".nav >> text=Overview")
    page.click(f"#attention a[aria-label='Open waiting'][href='/sessions/{waiting}/']")
    page.wait_for_url(f"**/sessions/{waiting}/")
    stack.post(f"/sessions/{waiting}/cancel")
    ways = {
        "section:has(#running-title) >> text=All sessions": r"/sessions/$",
        "section:has(#running-title) >> text=Launch a session": r"/sessions/new/$",
        "section:has(#results-title) th a:text-is('done')": rf"/sessions/{done}/$",
        "section:has(#results-title) >> text=Compare the newest": rf"/compare/\?.*s={done}",
        "section:has(#happened-title) >> text=Activity": r"/activity/$",
        "section:has(#happened-title) .events a": r"/sessions/\d+/$",
        "#new-button": r"/sessions/new/$",
    }
    for way, address in ways.items():
        page.goto(stack.url + "/")
        page.locator(way).first.click()
        page.wait_for_url(re.compile(address))


def test_a_failed_session_is_changed_and_run_again(stack: Stack, done: str, page: Page):
    page.goto(stack.url)
    much = {"epochs": 1000, "batch_size": 8}
    settings = {"workload": DIGITS, "train": much, "round_seconds": 1, "cohort_size": 2, "on_round_failure": "stop"}
    session = stack.session(name="hasty", **settings)
    assert stack.ended(session)["status"] == "failed"
    item = page.locator("#attention li", has_text="hasty")
    item.get_by_text("Open").click()
    page.wait_for_url(f"**/sessions/{session}/")
    page.click("#head .banner >> text=Change and run again")
    page.wait_for_url(f"**/sessions/new/?from={session}")
    page.goto(stack.url + "/")
    item.get_by_text("Change and run again").click()
    page.wait_for_url(f"**/sessions/new/?from={session}")
    page.select_option("#id_workload", "synthetic")
    page.fill("[name='workload.synthetic.num_parameters']", "5000")
    page.fill("#id_round_time", "60")
    page.click("[name=launch]")
    told(page, "hasty 2 is launched.")
    expect(page.locator("[data-session-status=completed]")).to_be_visible(timeout=60_000)


def test_things_to_do_are_reached_by_name_and_key(stack: Stack, done: str, page: Page):
    page.goto(stack.url)
    page.keyboard.press("n")
    page.wait_for_url("**/sessions/new/")
    page.keyboard.press("Control+k")
    page.keyboard.type("invite")
    page.keyboard.press("Enter")
    page.wait_for_url("**/clients/invite/")
    page.click("main >> text=Not now")
    page.wait_for_url("**/clients/")


def test_a_first_session_is_launched_with_one_press(tmp_path_factory: pytest.TempPathFactory):
    with running(tmp_path_factory.mktemp("first")) as stack, pressing(stack.url) as page:
        for place in ("sessions", "models"):
            page.goto(f"{stack.url}/{place}/")
            page.click(".empty >> text=New session")
            page.wait_for_url("**/sessions/new/")
        page.click("#who >> text=Invite one")
        expect(page.locator("#dialog")).to_contain_text("Invite a client")
        page.goto(stack.url + "/")
        launch = page.locator("#first-launch")
        expect(page.locator("#first-need")).to_have_text("Needs 2 clients; none is here yet.")
        launch.click(force=True)  # does nothing
        page.wait_for_timeout(300)
        assert stack.get("/sessions")["items"] == []
        for n in (1, 2):
            stack.agent(f"site-{n}", "--partition", "iid", "--shard", f"{n}/2")
        expect(page.locator("#step-appear")).to_contain_text("site-2", timeout=60_000)
        expect(page.locator("#first-need")).to_have_text("2 clients will take part.", timeout=20_000)
        launch.click()
        told(page, "digits 1 is launched.")
        session = of(page)
        until(lambda: stack.get(f"/sessions/{session}")["round"], seconds=60, why="the first round")


@pytest.mark.parametrize(("encoding", "at_most"), [("float16", 10_600), ("int8", 5600)])
def test_a_session_is_launched_with_each_compression(stack: Stack, page: Page, encoding: str, at_most: int):
    page.goto(f"{stack.url}/sessions/new/")
    page.click(".choice >> text=Load test")
    page.fill("#id_name", encoding)
    page.fill("#id_rounds", "1")
    page.fill("[name='workload.synthetic.num_parameters']", "5000")
    page.fill("[name='strategy.fedavg.server_lr']", "0.5")
    page.select_option("#id_compression", encoding)
    page.click("[name=launch]")
    told(page, f"{encoding} is launched.")
    session = of(page)
    state = stack.ended(session)
    options = {"server_lr": 0.5, "weighting": "examples", "most_share": 0.5}
    assert (state["compression"]["name"], state["strategy"]["options"]) == (encoding, options)
    sent = [e["payload"]["num_bytes"] for e in stack.events(session) if e["kind"] == "update.received"]
    assert sent and max(sent) < at_most  # plain they have 20,000 bytes and more
