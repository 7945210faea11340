"""Every act of a session's page: what its button says beforehand, and what the API says afterwards.

One of two agents is frozen, so that each round stays open for it until somebody acts.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.browser import agree, needs_browser, signed_in, told
from tests.e2e.stack import Stack, until
from tests.e2e.steering import Held, effect, seat, status, versions, waits

pytestmark = needs_browser


@pytest.fixture(scope="module")
def stack(one_is_frozen: Stack) -> Stack:
    return one_is_frozen


@pytest.mark.parametrize("button", [".actions button", "#session_start"])
def test_a_draft_is_started(stack: Stack, page: Page, held: Held, button: str):
    session = held("draft", start=False)
    expect(page.locator(".actions button")).to_contain_text("The initial model is made, and round 1 opens.")
    assert status(stack, session) == "draft"
    page.click(button)
    told(page, "draft is running.")
    waits(page, 1)
    assert status(stack, session) == "running"
    expect(page.locator("[data-session-status=running]")).to_be_visible()


def test_a_draft_is_changed_into_a_new_session(stack: Stack, page: Page, held: Held):
    session = held("sketch", start=False, rounds=7)
    page.click(".actions >> text=Change into a new session")
    page.wait_for_url(f"**/sessions/new/?from={session}")
    assert page.input_value("#id_name") == "sketch 2"
    assert page.input_value("#id_rounds") == "7"


def test_the_deadline_is_moved(stack: Stack, page: Page, held: Held):
    session = held("extended")
    before = datetime.fromisoformat(stack.get(f"/sessions/{session}")["round"]["deadline"])
    button = page.locator("#act-round_extend")
    expect(button).to_contain_text("Extend by 5 min")
    effect(page, "round_extend", "The deadline moves to ")
    promised = datetime.fromisoformat(button.locator("time").get_attribute("datetime") or "")
    button.click()
    told(page, "The deadline moved by 5 min.")
    after = datetime.fromisoformat(stack.get(f"/sessions/{session}")["round"]["deadline"])
    assert after == before + timedelta(minutes=5)
    assert abs(after - promised) < timedelta(milliseconds=1)  # which is as fine as the API says it
    shown = page.locator("[data-countdown]")
    until(lambda: datetime.fromisoformat(shown.get_attribute("data-countdown") or "") == promised, seconds=10)


def test_a_session_is_paused_and_goes_on(stack: Stack, page: Page, held: Held):
    session = held("paused")
    effect(page, "session_pause", "Round 1 goes on; no new one opens until you resume. Nothing is lost.")
    page.click("#act-session_pause")
    told(page, "paused is paused. The open round goes on; no new one opens until you resume.")
    assert status(stack, session) == "paused"
    assert stack.get(f"/sessions/{session}")["round"]["status"] == "collecting"
    effect(page, "session_resume", "Rounds open again, from the last model.")
    page.click("#act-session_resume")
    told(page, "paused goes on.")
    assert status(stack, session) == "running"
    page.click("#session_pause")  # the same, beside the name
    expect(page.locator("[data-session-status=paused]")).to_be_visible()
    assert status(stack, session) == "paused"
    page.click("#session_resume")
    expect(page.locator("[data-session-status=running]")).to_be_visible()
    assert status(stack, session) == "running"


def test_a_round_is_finished_with_the_updates_that_are_in(stack: Stack, page: Page, held: Held):
    session = held("finished")
    page.click("#act-session_pause")  # so that no further round opens
    effect(page, "round_finish", "Aggregates 1 update. site-2 comes too late and will be labelled so.")
    page.click("#act-round_finish")
    dialog = page.locator("#dialog")
    expect(dialog).to_contain_text("1 update becomes the next model. What these do now does not count in it:")
    expect(dialog.locator("li")).to_contain_text("site-2")
    expect(dialog).to_contain_text("What they send later is kept, labelled late.")
    dialog.get_by_text("Keep waiting").click()
    expect(dialog).to_be_hidden()
    assert stack.get(f"/sessions/{session}")["round"]["status"] == "collecting"
    page.click("#act-round_finish")
    agree(page, "Finish round 1 now?")
    told(page, "The round is closed; its updates become a model.")
    until(lambda: versions(stack, session) == [0, 1], seconds=20)
    assert seat(stack, session, 1, "site-1")["status"] == "aggregated"
    assert seat(stack, session, 1, "site-2")["status"] == "dropped"
    expect(page.locator("#now")).to_contain_text("Before round 2")
    assert stack.get(f"/sessions/{session}")["round"] is None
    page.click("#act-session_resume")
    waits(page, 2)


@pytest.mark.parametrize("button", ["#act-round_skip", ".lane[data-client=site-2] .lane__skip"])
def test_a_client_is_skipped_and_asked_again_in_the_next_round(stack: Stack, page: Page, held: Held, button: str):
    session = held("skipped")
    said = "The round closes at once with 1 update. What site-2 sends later is kept, labelled late."
    effect(page, "round_skip", said)
    expect(page.locator("#act-round_skip")).to_contain_text("Skip site-2 …")
    page.click(button)
    expect(page.locator("#dialog")).to_contain_text(said)
    page.click("#dialog >> text=Wait for it")
    expect(page.locator("#dialog")).to_be_hidden()
    assert versions(stack, session) == [0]
    page.click(button)
    agree(page, "Skip site-2 in this round?")
    told(page, "site-2 is skipped in this round. It is asked again in the next.")
    waits(page, 2)
    assert seat(stack, session, 1, "site-2")["status"] == "dropped"
    assert versions(stack, session) == [0, 1]
    assert seat(stack, session, 2, "site-2")["status"] in ("invited", "training")


def test_what_the_quorum_forbids_is_said_and_does_nothing(stack: Stack, page: Page, held: Held):
    session = held("strict", quorum=2)
    effect(page, "round_finish", "Not yet: 1 more update is needed for the quorum of 2.")
    effect(page, "round_skip", "Not now: the quorum of 2 could not be reached without it.")
    for act in ("round_finish", "round_skip"):
        button = page.locator(f"#act-{act}")
        expect(button).to_have_attribute("aria-disabled", "true")
        button.click(force=True)
    page.wait_for_timeout(500)
    expect(page.locator("#dialog")).to_be_hidden()
    assert seat(stack, session, 1, "site-2")["status"] in ("invited", "training")
    page.click(".lane[data-client=site-2] .lane__skip")
    expect(page.locator("#dialog")).to_contain_text("The quorum of 2 can then not be reached")
    page.keyboard.press("Escape")
    expect(page.locator("#dialog")).to_be_hidden()


def test_the_page_of_a_client_at_work_leads_to_its_session(stack: Stack, page: Page, held: Held):
    held("at work")
    key = next(one["id"] for one in stack.get("/clients")["items"] if one["name"] == "site-2")
    page.goto(f"{stack.url}/clients/{key}/")
    page.click("section:has(#now-title) >> text=at work")
    expect(page.locator("h1")).to_have_text("at work")


def test_a_running_session_gets_more_rounds(stack: Stack, page: Page, held: Held):
    session = held("longer")
    page.click("#session-menu summary")
    expect(page.locator("#menu-more")).to_contain_text("more rounds than the 3 that it has")
    page.click("#menu-more")
    expect(page.locator("#dialog")).to_contain_text("The new rounds come after the 3 that it has")
    page.fill("#id_rounds", "0")
    page.click("#dialog button.btn--primary")
    expect(page.locator("#dialog .field__error")).to_be_visible()
    page.fill("#id_rounds", "4")
    page.click("#dialog button.btn--primary")
    told(page, "longer now has 7 rounds.")
    assert stack.get(f"/sessions/{session}")["rounds"] == 7
    expect(page.locator("#head")).to_contain_text("of 7")


def test_a_session_is_cancelled(stack: Stack, page: Page, held: Held):
    session = held("cancelled")
    effect(page, "session_cancel", "Stops for good: what round 1 has so far is lost. Models and curves are kept.")
    page.click("#act-session_cancel")
    dialog = page.locator("#dialog")
    lost = ["1 update of round 1 that has arrived", "what site-2 did in round 1 so far"]
    expect(dialog.locator("li")).to_have_text(lost)
    expect(dialog).to_contain_text("Kept: the initial model, every curve and the event log.")
    dialog.get_by_text("Keep it running").click()
    expect(dialog).to_be_hidden()
    assert status(stack, session) == "running"
    page.click("#session-menu summary")
    page.click("#session-menu >> text=Cancel …")  # the same question, from the menu
    agree(page, "Cancel cancelled?")
    told(page, "cancelled is cancelled. Its models and curves are kept.")
    assert status(stack, session) == "cancelled"
    assert versions(stack, session) == [0]
    assert stack.get(f"/sessions/{session}/metrics", limit=1)["items"]
    expect(page.locator("#now")).to_contain_text("Nothing runs any more")
    expect(page.locator(".lane__skip, #act-round_extend, #act-round_finish, #act-round_skip")).to_have_count(0)


def test_an_act_of_a_page_that_is_out_of_date_is_refused(stack: Stack, page: Page, held: Held):
    session = held("outdated")
    page.click("#act-session_cancel")
    expect(page.locator("#dialog-title")).to_contain_text("Cancel outdated?")
    stack.post(f"/sessions/{session}/cancel").raise_for_status()  # somebody else was faster
    agree(page, "Cancel outdated?")
    told(page, "outdated is cancelled already.")
    expect(page.locator("#dialog")).to_be_hidden()


@pytest.mark.parametrize("button", ["#act-session_more", "#session_more", "#train-further"])
def test_a_session_that_has_ended_is_trained_further(stack: Stack, page: Page, held: Held, button: str):
    session = held("ended")
    page.click("#act-round_finish")
    agree(page, "Finish round 1 now?")
    waits(page, 2)
    page.click("#act-session_cancel")
    agree(page, "Cancel ended?")
    told(page, "ended is cancelled.")
    expect(page.locator("#act-session_more")).to_contain_text("A new session goes on from the last model")
    page.click(button)
    expect(page.locator("#dialog")).to_contain_text("goes on from v1. ended stays as it is.")
    page.click("#dialog >> text=Not now")
    expect(page.locator("#dialog")).to_be_hidden()
    page.click(button)
    page.fill("#id_rounds", "2")
    page.click("#dialog button.btn--primary")
    page.wait_for_url(lambda url: f"/{session}/" not in url)
    told(page, "goes on from the last model of ended.")
    further = page.url.rstrip("/").rpartition("/")[2]
    now = stack.get(f"/sessions/{further}")
    base = stack.get(f"/sessions/{session}/models")["items"][-1]["digest"]
    until(lambda: stack.get(f"/sessions/{further}/models")["items"], seconds=20)
    assert (now["status"], now["rounds"]) == ("running", 2)
    assert stack.get(f"/sessions/{further}/models")["items"][0]["digest"] == base
    expect(page.locator("#settings")).to_contain_text("ended, v1")
    stack.post(f"/sessions/{further}/cancel")


def test_a_session_that_has_ended_is_deleted(stack: Stack, page: Page, held: Held):
    session = held("deleted")
    stack.post(f"/sessions/{session}/cancel")
    expect(page.locator("[data-session-status=cancelled]")).to_be_visible()
    page.click("#session-menu summary")
    page.click("#session-menu >> text=Delete …")
    expect(page.locator("#dialog")).to_contain_text("This is lost for good:")
    page.click("#dialog >> text=Keep it")
    expect(page.locator("#dialog")).to_be_hidden()
    page.click("#session-menu summary")
    page.click("#session-menu >> text=Delete …")
    agree(page, "Delete deleted?")
    told(page, "deleted is deleted.")
    page.wait_for_url("**/sessions/")
    assert stack.http.get(f"{stack.url}/api/v1/sessions/{session}").status_code == 404


def test_who_looks_at_a_session_that_another_deletes_is_told_once(stack: Stack, page: Page, held: Held):
    session = held("looked-at", start=False)
    expect(page.locator("[data-conn]")).to_have_attribute("data-state", "live")
    assert stack.http.delete(f"{stack.url}/api/v1/sessions/{session}").status_code == 204
    gone = page.locator("[data-gone]")
    expect(gone).to_contain_text("This was deleted. The page shows how it was last.")
    expect(page.locator("[data-conn]")).to_be_hidden()
    expect(page.locator(".toast")).to_have_count(0)
    expect(page.locator("h1")).to_have_text("looked-at")
    gone.locator("a").click()
    expect(page.locator("h1")).to_have_text("Overview")


def test_a_round_is_steered_on_a_phone(stack: Stack, page: Page, held: Held):
    page.set_viewport_size({"width": 390, "height": 844})
    session = held("pocket")
    page.click("#act-round_extend")
    told(page, "The deadline moved by 5 min.")
    page.click("#act-session_pause")
    told(page, "pocket is paused.")
    page.click("#act-session_resume")
    told(page, "pocket goes on.")
    page.click("#act-round_skip")
    agree(page, "Skip site-2 in this round?")
    waits(page, 2)
    page.click("#act-round_finish")
    agree(page, "Finish round 2 now?")
    waits(page, 3)
    page.click("#act-session_cancel")
    agree(page, "Cancel pocket?")
    expect(page.locator("[data-session-status=cancelled]")).to_be_visible()
    assert status(stack, session) == "cancelled"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_acts_are_asked_about_and_done_without_scripts(stack: Stack, page: Page, held: Held):
    session = held("plain")
    with signed_in(stack.url, scripts=False) as plain:
        plain.goto(f"{stack.url}/sessions/{session}/")
        plain.click("#act-round_finish")
        expect(plain.locator("h1")).to_contain_text("Finish round 1 now?")
        plain.click("form.dialog a.btn")  # not now
        plain.wait_for_url(f"**/sessions/{session}/")
        plain.click("#act-session_pause")
        expect(plain.locator("[data-session-status=paused]")).to_be_visible()
        plain.click("#act-session_resume")
        expect(plain.locator("[data-session-status=running]")).to_be_visible()
        plain.click("#act-session_cancel")
        agree(plain, "Cancel plain?")
        expect(plain.locator("[data-session-status=cancelled]")).to_be_visible()
    assert status(stack, session) == "cancelled"
