"""A round that failed and was skipped: the pages count rounds that made a model, and say which did not."""

import re
from collections.abc import Callable

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from dashboard.pages.compare import comparison
from dashboard.pages.overview.running import live, recent
from dashboard.pages.session import round_now, summary
from dashboard.pages.session.why import why_it_waits
from federation.models import Client, TrainingSession
from federation.services import rounds
from tests.dashboard.cast import HTMX, fail_round, finish_round
from tests.dashboard.markup import compact

Enrol = Callable[..., list[Client]]
Create = Callable[..., TrainingSession]


@pytest.fixture
def skipping(enrol: Enrol, create: Create, ticking: None) -> TrainingSession:
    """Of four rounds the first made a model, the second was skipped, and the third is open."""
    enrol("anna", "ben")
    session = create(start=True, rounds=4, on_round_failure="skip", max_retries=0)
    rounds.advance(session, now=timezone.now())
    finish_round(session, "anna", "ben", train_loss=0.5)
    fail_round(session)
    rounds.advance(session, now=timezone.now())
    return session


def test_the_summary_counts_what_made_a_model(skipping: TrainingSession) -> None:
    progress = summary.of(skipping, now=timezone.now()).progress
    assert (progress.number, progress.completed, progress.skipped, progress.done) == (3, 1, 1, 0.5)
    assert progress.strip == ["is-done", "is-skipped", "is-now", ""]
    finish_round(skipping, "anna", "ben")
    finish_round(skipping, "anna", "ben")
    progress = summary.of(skipping, now=timezone.now()).progress
    assert (progress.number, progress.completed, progress.skipped, progress.done) == (4, 3, 1, 1.0)


def test_a_long_session_counts_them_too(skipping: TrainingSession) -> None:
    skipping.rounds = 400
    progress = summary.of(skipping, now=timezone.now()).progress
    assert (progress.completed, progress.skipped, progress.strip) == (1, 1, [])


def test_the_overview_and_the_results_count_the_same(skipping: TrainingSession) -> None:
    (one,) = live(timezone.now())
    assert one.progress.strip == ["is-done", "is-skipped", "is-now", ""]
    finish_round(skipping, "anna", "ben")
    finish_round(skipping, "anna", "ben")
    (result,) = recent()
    (line,) = comparison.lines([skipping])
    assert result.completed == line.completed == 3


def test_the_pages_say_it(browser: Browser, skipping: TrainingSession) -> None:
    page = compact(browser.get(reverse("session", args=[skipping.pk])).content.decode())
    assert "of 4, 1 skipped" in page
    row = re.search(r'<tr data-round="2".*?</tr>', page, re.S)
    assert row and "0 of 2 needed updates had arrived at the deadline. It was skipped." in row[0]
    assert "Try again, then skip it" in page.replace("try again", "Try again")
    assert "1 skipped" in browser.get("/").content.decode()


def test_between_two_rounds_it_says_which_was_skipped_and_which_comes(
    browser: Browser, skipping: TrainingSession
) -> None:
    fail_round(skipping)
    assert round_now.of(skipping, now=timezone.now()).next_number == 4
    page = browser.get(reverse("session_round", args=[skipping.pk]), headers=HTMX).content.decode()
    assert "Before round 4" in page
    assert "Round 3 is skipped; the next one begins from the last model." in page


def test_it_says_beforehand_that_the_round_would_be_skipped(skipping: TrainingSession) -> None:
    Client.objects.filter(name="anna").update(last_seen=None)
    rounds.skip(skipping, skipping.active_round().seats.first().pk, by="mara")  # type: ignore[union-attr]
    why = [str(one.sentence) for one in why_it_waits(round_now.of(skipping, now=timezone.now()))]
    assert any("At the deadline the round fails and is skipped." in sentence for sentence in why)


def test_a_round_that_is_tried_again_is_not_called_skipped(enrol: Enrol, create: Create, ticking: None) -> None:
    enrol("anna", "ben")
    session = create(start=True, on_round_failure="skip", max_retries=1)
    rounds.advance(session, now=timezone.now())
    fail_round(session)
    progress = summary.of(session, now=timezone.now()).progress
    assert (progress.number, progress.skipped, progress.strip) == (1, 0, ["", "", ""])
    assert round_now.of(session, now=timezone.now()).next_number == 1
