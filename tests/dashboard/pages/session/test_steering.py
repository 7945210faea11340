from collections.abc import Callable
from datetime import timedelta
from unittest.mock import patch

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks

from federation import tasks
from federation.models import Client, Event, TrainingSession
from federation.services import sessions
from tests.dashboard.cast import HTMX, finish_round, report, seat_of, stream

Create = Callable[..., TrainingSession]


def at(name: str, session: TrainingSession) -> str:
    return reverse(name, args=[session.pk])


def status(session: TrainingSession) -> str:
    session.refresh_from_db()
    return session.status


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("session_pause", "running", "paused"),
        ("session_resume", "paused", "running"),
        ("session_cancel", "running", "cancelled"),
    ],
)
def test_a_session_is_steered_and_the_page_shown_again(
    browser: Browser, running: TrainingSession, name: str, before: str, after: str
) -> None:
    if before == "paused":
        sessions.pause(running, by=None)
    answer = browser.post(at(name, running), follow=True)
    assert answer.redirect_chain == [(at("session", running), 302)]
    assert status(running) == after
    assert Event.objects.filter(payload__by="mara").exists()


def test_a_draft_is_started(browser: Browser, create: Create) -> None:
    draft = create()
    browser.post(at("session_start", draft))
    assert status(draft) == "running"


def test_a_button_is_answered_with_a_sentence_and_what_changed(browser: Browser, running: TrainingSession) -> None:
    answer = browser.post(at("session_pause", running), headers=HTMX)
    assert answer.status_code == 204
    assert "first is paused. The open round goes on; no new one opens until you resume." in answer["HX-Trigger"]
    for event in ("session-changed", "round-changed", "log-changed"):
        assert event in answer["HX-Trigger"]


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("session_start", "first is running already."),
        ("session_resume", "first is running already."),
        ("round_finish", "Not yet: 2 more updates are needed for the quorum of 2."),
        ("session_delete", "first is running. Cancel it before deleting it."),
    ],
)
def test_what_the_state_does_not_allow_is_refused_in_words(
    browser: Browser, running: TrainingSession, name: str, sentence: str
) -> None:
    answer = browser.post(at(name, running), headers=HTMX)
    assert answer.status_code == 409
    assert sentence in answer["HX-Trigger"]
    assert status(running) == "running"
    page = browser.post(at(name, running), follow=True).content.decode()
    assert sentence in page


@pytest.mark.parametrize("name", ["session_pause", "session_resume", "session_cancel", "session_start", "round_finish"])
def test_an_ended_session_is_not_steered(browser: Browser, running: TrainingSession, name: str) -> None:
    sessions.cancel(running, by=None, now=timezone.now())
    assert browser.post(at(name, running), headers=HTMX).status_code == 409
    assert status(running) == "cancelled"


@pytest.mark.parametrize("headers", [HTMX, {}])
def test_whether_to_cancel_an_ended_session_is_not_asked(
    browser: Browser, running: TrainingSession, headers: dict[str, str]
) -> None:
    sessions.cancel(running, by=None, now=timezone.now())
    before = Event.objects.count()
    answer = browser.get(at("session_cancel", running), headers=headers)
    assert answer.status_code == (409 if headers else 302)
    assert "Cancel first?" not in answer.content.decode()
    said = answer["HX-Trigger"] if headers else browser.get(at("session", running)).content.decode()
    assert "first is cancelled already." in said
    assert (status(running), Event.objects.count()) == ("cancelled", before)


def test_every_act_has_the_next_move_made_after_the_commit(
    browser: Browser, running: TrainingSession, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    with patch.object(tasks.advance, "delay") as delay, django_capture_on_commit_callbacks(execute=True):
        browser.post(at("session_pause", running))
    delay.assert_called_once_with(running.pk)


# ---- confirmations


def test_cancelling_says_first_what_is_lost_and_what_is_kept(browser: Browser, running: TrainingSession) -> None:
    report(running, "anna")
    for headers in ({}, HTMX):
        page = browser.get(at("session_cancel", running), headers=headers).content.decode()
        assert "Cancel first?" in page
        assert "1 update of round 1 that has arrived" in page
        assert "what ben and carl did in round 1 so far" in page
        assert "Kept: the initial model, every curve and the event log." in page
        assert ("<html" in page) == (not headers)
    assert status(running) == "running"


def test_the_safe_button_comes_first_and_has_the_focus(browser: Browser, running: TrainingSession) -> None:
    page = browser.get(at("session_cancel", running), headers=HTMX).content.decode()
    assert page.index("Keep it running") < page.index("Cancel the session")
    assert "autofocus>Keep it running" in page


def test_deleting_says_what_is_lost_and_leaves_for_the_list(browser: Browser, running: TrainingSession) -> None:
    finish_round(running, "anna", "ben", "carl", train_loss=0.5)
    sessions.cancel(running, by=None, now=timezone.now())
    page = browser.get(at("session_delete", running), headers=HTMX).content.decode()
    assert "2 models and 2 rounds, with the files that no other session uses" in page
    answer = browser.post(at("session_delete", running), headers=HTMX)
    assert answer["HX-Redirect"] == reverse("sessions")
    assert not TrainingSession.objects.exists()
    assert "first is deleted." in browser.get(reverse("sessions")).content.decode()


def test_a_running_session_cannot_be_asked_to_be_deleted(browser: Browser, running: TrainingSession) -> None:
    answer = browser.get(at("session_delete", running), headers=HTMX)
    assert answer.status_code == 409
    assert answer.content == b""


# ---- going on


def test_more_rounds_are_added_while_it_goes_on(browser: Browser, running: TrainingSession) -> None:
    question = browser.get(at("session_more", running), headers=HTMX).content.decode()
    assert "The new rounds come after the 3 that it has" in question and 'value="5"' in question
    answer = browser.post(at("session_more", running), {"rounds": "7"}, headers=HTMX)
    assert "first now has 10 rounds." in answer["HX-Trigger"]
    running.refresh_from_db()
    assert running.rounds == 10


@pytest.mark.parametrize(
    ("rounds", "sentence"),
    [
        ("", "This field is required."),
        ("x", "is not a whole number"),
        ("0", "0 more rounds cannot be: choose 1 to 99997."),
        ("100000", "100000 more rounds cannot be"),
        ("9" * 50, "more rounds cannot be"),
    ],
)
def test_a_number_of_rounds_that_cannot_be_is_said_beside_its_field(
    browser: Browser, running: TrainingSession, rounds: str, sentence: str
) -> None:
    answer = browser.post(at("session_more", running), {"rounds": rounds}, headers=HTMX)
    assert answer.status_code == 422 and sentence in answer.content.decode()
    assert f'value="{rounds}"' in answer.content.decode() or not rounds
    running.refresh_from_db()
    assert running.rounds == 3


def test_more_rounds_of_an_ended_session_start_from_its_last_model(browser: Browser, running: TrainingSession) -> None:
    for _ in range(3):
        finish_round(running, "anna", "ben", "carl", train_loss=0.5)
    question = browser.get(at("session_more", running)).content.decode()
    assert "A new session with the same settings goes on from v3. first stays as it is." in question
    answer = browser.post(at("session_more", running), {"rounds": "12"}, headers=HTMX)
    further = TrainingSession.objects.get(name="first 2")
    assert answer["HX-Redirect"] == at("session", further)
    assert (further.status, further.rounds) == ("running", 12)
    assert further.start_from == running.last_model()


def test_a_session_without_a_model_cannot_be_gone_on_from(browser: Browser, create: Create) -> None:
    draft = create()
    sessions.cancel(draft, by=None, now=timezone.now())
    for answer in (
        browser.get(at("session_more", draft), headers=HTMX),
        browser.post(at("session_more", draft), {"rounds": "5"}, headers=HTMX),
    ):
        assert answer.status_code == 409
        assert "has no model yet to go on from" in answer["HX-Trigger"]


def test_running_again_makes_the_same_session_under_the_next_name(browser: Browser, running: TrainingSession) -> None:
    browser.post(at("session_again", running))
    again = TrainingSession.objects.get(name="first 2")
    assert again.status == "running"
    assert sessions.spec_of(again).workload_options == sessions.spec_of(running).workload_options
    assert again.seed == running.seed


# ---- the open round


def test_the_round_is_finished_with_what_is_in(browser: Browser, running: TrainingSession) -> None:
    report(running, "anna")
    report(running, "ben")
    assert browser.post(at("round_finish", running), headers=HTMX).status_code == 204
    open_round = running.active_round()
    assert open_round is not None
    assert open_round.status == "aggregating"


def test_finishing_names_first_whose_work_does_not_count(browser: Browser, running: TrainingSession) -> None:
    assert browser.get(at("round_finish", running), headers=HTMX).status_code == 409
    report(running, "anna")
    report(running, "ben")
    stream(running, "carl", [1.0], fraction=0.5)
    for headers in ({}, HTMX):
        question = browser.get(at("round_finish", running), headers=headers).content.decode()
        assert "Finish round 1 now?" in question
        assert "2 updates become the next model. What these do now does not count in it:" in question
        assert "<li>carl is training: 50\u202f% done</li>" in question
        assert "What they send later is kept, labelled late." in question
    open_round = running.active_round()
    assert open_round is not None and open_round.status == "collecting"
    browser.post(at("round_finish", running), headers=HTMX)
    assert browser.get(at("round_finish", running), headers=HTMX).status_code == 409


def test_the_deadline_is_moved(browser: Browser, running: TrainingSession) -> None:
    before = running.round_set.get().deadline
    answer = browser.post(at("round_extend", running), {"seconds": "300"}, headers=HTMX)
    assert "The deadline moved by 5 min." in answer["HX-Trigger"]
    assert running.round_set.get().deadline == before + timedelta(seconds=300)


@pytest.mark.parametrize("seconds", ["", "0", "-5", "1e9", "99999999", "9" * 40])
def test_an_impossible_extension_is_refused(browser: Browser, running: TrainingSession, seconds: str) -> None:
    before = running.round_set.get().deadline
    assert browser.post(at("round_extend", running), {"seconds": seconds}, headers=HTMX).status_code == 422
    assert running.round_set.get().deadline == before


def test_a_client_is_skipped_after_a_question(browser: Browser, running: TrainingSession) -> None:
    seat = seat_of(running, "carl")
    question = browser.get(at("round_skip", running), {"participation": seat.pk}, headers=HTMX).content.decode()
    assert "Skip carl in this round?" in question
    assert "The round closes as soon as anna and ben have reported." in question
    answer = browser.post(at("round_skip", running), {"participation": seat.pk}, headers=HTMX)
    assert "carl is skipped in this round." in answer["HX-Trigger"]
    seat.refresh_from_db()
    assert (seat.status, seat.reason) == ("dropped", "Skipped by mara.")


def test_skipping_the_last_ones_that_could_make_the_quorum_says_so(browser: Browser, running: TrainingSession) -> None:
    browser.post(at("round_skip", running), {"participation": seat_of(running, "anna").pk})
    question = browser.get(at("round_skip", running), {"participation": seat_of(running, "ben").pk}, headers=HTMX)
    assert "can then not be reached: the round fails and opens again." in question.content.decode()


def test_a_seat_that_has_reported_cannot_be_skipped(browser: Browser, running: TrainingSession) -> None:
    report(running, "anna")
    seat = Client.objects.get(name="anna").seats.get()
    assert browser.get(at("round_skip", running), {"participation": seat.pk}, headers=HTMX).status_code == 409
    assert browser.post(at("round_skip", running), {"participation": seat.pk}, headers=HTMX).status_code == 409
    assert browser.post(at("round_skip", running), {"participation": "4711"}, headers=HTMX).status_code == 422
