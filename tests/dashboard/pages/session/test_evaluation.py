"""What pages say of evaluations: of a session's last model, and of sessions that only measure one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from federation.lifecycle import RoundStatus
from federation.models import Client, Round, TrainingSession
from federation.services import sessions
from tests.dashboard.cast import HTMX, Create, Enrol
from tests.dashboard.markup import compact
from tests.federation.services.evaluating import declare, measure, take, train

Settled = Callable[[TrainingSession], TrainingSession]
BOTH = ["train", "evaluate"]


@pytest.fixture
def last_round(enrol: Enrol, create: Create, ticking: None) -> TrainingSession:
    """A session of one round, done: anna and ben are asked to measure its model."""
    enrol("anna", "ben", kinds=BOTH)
    return train(declare(create(start=True, rounds=1)), "anna", "ben", now=timezone.now())


@pytest.fixture
def evaluation(enrol: Enrol, create: Create, ticking: None) -> Callable[..., TrainingSession]:
    def evaluation(*names: str) -> TrainingSession:
        trained = declare(create(start=True))
        sessions.cancel(trained, by=None, now=timezone.now())
        if names:
            enrol(*names, kinds=BOTH)
        return sessions.evaluate(trained.models.get(), by=None, now=timezone.now())

    return evaluation


def page_of(browser: Browser, session: TrainingSession) -> str:
    return compact(browser.get(reverse("session", args=[session.pk])).content.decode())


def overview(browser: Browser) -> str:
    return compact(browser.get(reverse("overview")).content.decode())


def test_while_the_last_model_is_measured_no_round_is_announced(browser: Browser, last_round: TrainingSession) -> None:
    page = page_of(browser, last_round)
    assert "Training is over" in page and "The sites measure model v1" in page
    assert "Before round" not in page and "skipped" not in page
    assert 'data-site="anna" data-status="invited"' in page
    assert "The sites measure model v1" in overview(browser) and "The next round opens" not in overview(browser)


def test_the_numbers_of_the_last_model_stay_on_the_page(
    browser: Browser, last_round: TrainingSession, settled: Settled
) -> None:
    now = timezone.now()
    take("anna", now)
    measure("anna", now, accuracy=0.75, num_examples=30)
    take("ben", now)
    measure("ben", now, accuracy=None)
    assert settled(last_round).status == "completed"
    page = page_of(browser, last_round)
    assert "2 sites measured the session's last model on 40 held-out examples" in page
    assert "without ben: no usable number" in page and ">not finite<" in page
    fragment = browser.get(reverse("session_evaluation", args=[last_round.pk]), headers=HTMX).content.decode()
    assert 'id="evaluated"' in fragment and "0.750" in fragment


def test_only_a_completed_session_is_said_to_be_complete(
    browser: Browser, last_round: TrainingSession, settled: Settled
) -> None:
    sessions.cancel(last_round, by=None, now=timezone.now())
    page = page_of(browser, last_round)
    assert Round.objects.get(kind="evaluate").reason in page and "complete all the same" not in page


def test_a_session_without_an_evaluation_shows_none(browser: Browser, running: TrainingSession) -> None:
    fragment = browser.get(reverse("session_evaluation", args=[running.pk]), headers=HTMX).content.decode()
    assert "hidden" in fragment and "<table" not in fragment


def test_an_evaluation_session_has_no_rounds_and_no_curves(
    browser: Browser, evaluation: Callable[..., TrainingSession], settled: Settled
) -> None:
    session = settled(evaluation("anna", "ben"))
    page = page_of(browser, session)
    assert "Evaluation" in page and "What happens now" in page
    assert 'data-site="anna"' in page and 'data-site="ben"' in page
    for word in ("Training curves", "Train further", "Past rounds", "skipped", "js/session.js"):
        assert word not in page, word
    assert "Evaluation<" in overview(browser)


def test_it_waits_for_sites_and_says_so(browser: Browser, evaluation: Callable[..., TrainingSession]) -> None:
    session = evaluation()
    page = page_of(browser, session)
    assert "Waiting for sites" in page and 'data-session-status="running"' in page
    assert "Nobody is online" in page and "It begins by itself as soon as 1 client is there" in page


def test_it_waits_for_the_chosen_ones_while_others_are_online(
    browser: Browser, evaluation: Callable[..., TrainingSession]
) -> None:
    session = evaluation("anna", "ben")
    anna = Client.objects.get(name="anna")
    TrainingSession.objects.filter(pk=session.pk).update(client_ids=[anna.pk])
    Client.objects.filter(pk=anna.pk).update(last_seen=timezone.now() - timedelta(hours=1))
    assert "None of the chosen clients is online" in page_of(browser, session)


def test_one_that_failed_says_why(
    browser: Browser, evaluation: Callable[..., TrainingSession], settled: Settled
) -> None:
    session = settled(evaluation("anna"))
    round_ = session.round_set.get()
    Round.objects.filter(pk=round_.pk).update(deadline=timezone.now())
    assert settled(session).status == "failed"
    page = page_of(browser, session)
    assert "The evaluation failed." in page and "0 of 1 needed results had arrived" in page
    assert "Measure again" in page
    assert f"/sessions/new/?from={session.pk}" not in overview(browser)


def test_the_list_says_what_it_is(
    browser: Browser, evaluation: Callable[..., TrainingSession], settled: Settled
) -> None:
    session = settled(evaluation("anna"))
    now = timezone.now()
    take("anna", now)
    measure("anna", now, accuracy=0.25)
    assert settled(session).round_set.get().status == RoundStatus.COMPLETED
    page = compact(browser.get(reverse("sessions")).content.decode())
    row = next(row for row in page.split("<tr>") if f">{session.name}<" in row)
    assert ">evaluation<" in row and "0.250" in row and 'name="s"' not in row
    assert browser.get(reverse("compare"), {"s": session.pk}).status_code == 200
    assert browser.get(reverse("session_new"), {"from": session.pk}).status_code == 404


def test_one_can_be_cancelled_measured_again_and_deleted(
    browser: Browser, evaluation: Callable[..., TrainingSession], settled: Settled
) -> None:
    session = settled(evaluation("anna"))
    assert 'id="act-session_cancel"' in page_of(browser, session)
    browser.post(reverse("session_cancel", args=[session.pk]))
    browser.post(reverse("session_again", args=[session.pk]))
    again = TrainingSession.objects.latest("pk")
    assert again.pk != session.pk and again.kind == "evaluate"
    assert "Delete" in browser.get(reverse("session_delete", args=[session.pk]), headers=HTMX).content.decode()
    browser.post(reverse("session_delete", args=[session.pk]))
    assert not TrainingSession.objects.filter(pk=session.pk).exists()


def test_while_a_site_sends_version_0_the_page_says_so(browser: Browser, create: Create, ticking: None) -> None:
    session, now = create(), timezone.now()
    sessions.start(session, by=None, now=now)
    later = now + timedelta(minutes=5)
    Round.objects.create(session=session, kind="initialise", number=0, opened_at=now, deadline=later)
    page = page_of(browser, session)
    assert "A client sends the initial model" in page and "Training is over" not in page
    assert "A client sends the initial model" in overview(browser)
