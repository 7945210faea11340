"""What one can press while a round's updates become a model: what each act says beforehand, and what it does then.

A worker beside the server took the round's aggregation and takes its time, so that the round stays there.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.browser import agree, needs_browser, told
from tests.e2e.stack import Stack, until
from tests.e2e.steering import Held, effect, holding, seat, status, versions, waits

pytestmark = needs_browser
SHUT = "The round is closed; its updates become a model."
REFUSAL = "Round 1 is aggregating; its seats are closed."
CLOSED_ACTS = ("round_extend", "round_skip", "round_finish")
TAKE = """
from datetime import timedelta
from django.db import transaction
from django.utils import timezone
from federation import reasons
from federation.models import Round
from federation.services import rounds
now = timezone.now()
with transaction.atomic():
    round_ = Round.objects.select_for_update().get(session={session}, status="collecting")
    assert rounds.collect(round_, reason=reasons.ROUND_CLOSED, now=now)
    Round.objects.filter(pk=round_.pk).update(lease_token="a slow worker", lease_until=now + timedelta(hours=1))
"""
DIE = "from federation.services import rounds; rounds.free_leases()"


@pytest.fixture(scope="module")
def stack(one_is_frozen: Stack) -> Stack:
    return one_is_frozen


@pytest.fixture
def held_on_phone(stack: Stack, phone: Page) -> Iterator[Held]:
    with holding(stack, phone) as hold:
        yield hold


def take(stack: Stack, session: str) -> None:
    """A slow worker takes the open round's aggregation."""
    stack.shell(TAKE.format(session=session))


def let_go(stack: Stack) -> None:
    """It dies, so that the server aggregates the round."""
    stack.shell(DIE)


def aggregates(page: Page, number: int = 1) -> None:
    expect(page.locator(f"#now[data-round='{number}'][data-round-status=aggregating]")).to_be_visible(timeout=20_000)


def test_what_came_too_late_is_off_and_says_why(stack: Stack, page: Page, held: Held):
    session = held("closed")
    take(stack, session)
    aggregates(page)
    expect(page.locator(".why h3")).to_have_text("What happens now")
    expect(page.locator("[data-why~=aggregating]")).to_contain_text("the model of round 1")
    expect(page.locator(".lane__skip")).to_have_count(0)
    for act in CLOSED_ACTS:
        effect(page, act, SHUT)
        expect(page.locator(f"#act-{act}")).to_have_attribute("aria-disabled", "true")
        page.locator(f"#act-{act}").click(force=True)
    page.evaluate("fetch('/find/').then((answer) => answer.text())")  # by now an answer would be there
    expect(page.locator(".toast, dialog[open]")).to_have_count(0)
    assert stack.get(f"/sessions/{session}")["round"]["status"] == "aggregating"
    let_go(stack)
    waits(page, 2)
    assert versions(stack, session) == [0, 1]
    assert seat(stack, session, 1, "site-2")["status"] == "dropped"


def test_an_act_that_is_pressed_as_the_round_closes_is_refused(stack: Stack, page: Page, held: Held):
    session = held("closing")
    unheard: list[Route] = []
    page.route("**/round/", lambda route: unheard.append(route))  # the page does not hear of it
    expect(page.locator("#now.htmx-request")).to_have_count(0)  # nor by an answer that is on its way
    take(stack, session)
    before = stack.get(f"/sessions/{session}")["round"]["deadline"]
    page.click("#act-round_extend")
    told(page, REFUSAL)
    assert stack.get(f"/sessions/{session}")["round"]["deadline"] == before
    page.click("#act-round_finish")
    told(page, "No round is open any more, so there is nothing to finish.")
    page.click("#act-round_skip")
    told(page, "This seat is not open any more, so there is nothing to skip.")
    expect(page.locator("#dialog")).to_be_hidden()
    for one in unheard:
        one.continue_()
    page.unroute("**/round/")
    aggregates(page)


@pytest.mark.parametrize(
    ("act", "question"), [("round_finish", "Finish round 1 now?"), ("round_skip", "Skip site-2 in this round?")]
)
def test_a_question_that_is_answered_after_the_round_closed_is_refused(
    stack: Stack, page: Page, held: Held, act: str, question: str
):
    session = held("asked")
    page.click(f"#act-{act}")
    expect(page.locator("#dialog-title")).to_have_text(question)
    take(stack, session)
    aggregates(page)
    expect(page.locator("#dialog")).to_be_visible()  # the page behind it went on
    agree(page, question)
    told(page, REFUSAL)
    expect(page.locator("#dialog")).to_be_hidden()
    let_go(stack)
    waits(page, 2)


def test_a_session_is_paused_and_no_round_opens_when_the_model_is_there(stack: Stack, page: Page, held: Held):
    session = held("paused")
    take(stack, session)
    aggregates(page)
    effect(page, "session_pause", "Round 1 goes on; no new one opens until you resume. Nothing is lost.")
    page.click("#act-session_pause")
    told(page, "paused is paused. The open round goes on; no new one opens until you resume.")
    assert status(stack, session) == "paused"
    aggregates(page)
    let_go(stack)
    expect(page.locator("#models [data-version='1']")).to_be_visible(timeout=20_000)
    expect(page.locator("#now")).to_contain_text("Before round 2")
    assert stack.get(f"/sessions/{session}")["round"] is None
    page.click("#act-session_resume")
    waits(page, 2)


def test_a_session_gets_more_rounds_while_its_last_one_is_aggregated(stack: Stack, page: Page, held: Held):
    session = held("longer", rounds=1)
    take(stack, session)
    aggregates(page)
    page.click("#session-menu summary")
    page.click("#menu-more")
    page.fill("#id_rounds", "1")
    page.click("#dialog button.btn--primary")
    told(page, "longer now has 2 rounds.")
    let_go(stack)
    waits(page, 2)


def test_a_session_is_cancelled_and_no_model_comes(stack: Stack, page: Page, held: Held):
    session = held("cancelled")
    take(stack, session)
    aggregates(page)
    effect(page, "session_cancel", "Stops for good: what round 1 has so far is lost. Models and curves are kept.")
    page.click("#act-session_cancel")
    expect(page.locator("#dialog li")).to_have_text(["1 update of round 1 that has arrived"])
    page.click("#dialog >> text=Keep it running")
    expect(page.locator("#dialog")).to_be_hidden()
    assert status(stack, session) == "running"
    page.click("#act-session_cancel")
    agree(page, "Cancel cancelled?")
    told(page, "cancelled is cancelled. Its models and curves are kept.")
    let_go(stack)
    expect(page.locator("#now")).to_contain_text("Nothing runs any more")
    expect(page.locator("#act-session_more")).to_be_visible()
    assert (status(stack, session), versions(stack, session)) == ("cancelled", [0])


def test_a_round_that_is_aggregated_is_steered_on_a_phone(stack: Stack, phone: Page, held_on_phone: Held):
    session = held_on_phone("pocket")
    take(stack, session)
    aggregates(phone)
    for act in CLOSED_ACTS:
        effect(phone, act, SHUT)
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    phone.click("#act-session_pause")
    told(phone, "pocket is paused.")
    phone.click("#act-session_resume")
    told(phone, "pocket goes on.")
    let_go(stack)
    waits(phone, 2)
    take(stack, session)
    aggregates(phone, 2)
    phone.click("#act-session_cancel")
    agree(phone, "Cancel pocket?")
    expect(phone.locator("[data-session-status=cancelled]")).to_be_visible()
    until(lambda: versions(stack, session) == [0, 1], seconds=10)
