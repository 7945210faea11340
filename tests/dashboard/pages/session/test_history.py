"""What a session has behind it: rounds, models and six numbers."""

import json
import re
from datetime import timedelta

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from dashboard.pages.session import history, summary
from federation.lifecycle import FileStatus
from federation.models import Participation, TrainingSession
from federation.services import models, rounds
from tests.dashboard.cast import HTMX, Create, fail_round, finish_round, report
from tests.dashboard.markup import compact
from tests.dashboard.pages.session.test_log import shown


def test_more_of_the_log_and_of_the_rounds_is_shown_on_demand(browser: Browser, running: TrainingSession) -> None:
    for n in range(60):
        rounds.extend(running, seconds=10 + n, by="mara")
    address = reverse("session_events", args=[running.pk])
    assert browser.get(address, headers=HTMX).content.decode().count("<li data-seq") == 50
    assert shown(browser, running, lines="250").count("round.extended") == 60
    assert browser.get(address, {"lines": "no"}, headers=HTMX).status_code == 200


def test_rounds_tell_how_they_went(browser: Browser, running: TrainingSession) -> None:
    report(running, "anna")
    fail_round(running)
    rounds.advance(running, now=timezone.now())
    finish_round(running, "anna", "ben", "carl", train_loss=0.5)
    page = browser.get(reverse("session_history", args=[running.pk]), headers=HTMX).content.decode()
    assert "1 of 2 needed updates had arrived at the deadline." in page
    assert re.findall(r'data-round="(\d)" data-attempt="(\d)"', page) == [("2", "1"), ("1", "2"), ("1", "1")]
    assert "3 of 3" in page


def test_models_can_be_downloaded_and_the_best_is_marked(browser: Browser, running: TrainingSession) -> None:
    finish_round(running, "anna", "ben", "carl", base_val_accuracy=0.2)
    finish_round(running, "anna", "ben", "carl", base_val_accuracy=0.9)
    finish_round(running, "anna", "ben", "carl", base_val_accuracy=0.7)
    page = compact(browser.get(reverse("session_history", args=[running.pk]), headers=HTMX).content.decode())
    best = re.search(r'<tr class="is-best" data-version="(\d)"', page)
    assert best and best[1] == "1"
    for model in running.models.all():
        assert f'href="/api/v1/models/{model.digest}" download="model-{model.digest[:12]}.safetensors"' in page
    assert "Measured by the clients on their own held-out data" in page


def test_a_version_opens_with_its_digest_snippets_and_lineage(browser: Browser, running: TrainingSession) -> None:
    TrainingSession.objects.update(name="it's \"<b>")
    finish_round(running, "anna", "ben", "carl", base_val_accuracy=0.2)
    address = reverse("session_history", args=[running.pk])
    page = compact(browser.get(address, {"model": "1"}, headers=HTMX).content.decode())
    model = running.models.get(version=1)
    assert 'data-keeps="model" data-query="model=1"' in page
    assert f"<code>{model.digest}</code>" in page
    assert f'load_file("model-{model.digest[:12]}.safetensors")' in page
    assert f'torch.load("model-{model.digest[:12]}.pt", weights_only=True)' in page
    assert "by 3 updates of round 1" in page and f'href="{reverse("model", args=[model.parent_id])}">v0</a>' in page
    for client in ("anna", "ben", "carl"):
        assert Participation.objects.get(client__name=client, round__number=1).digest in page
    assert "<b>" not in page


@pytest.mark.parametrize("asked", ["", "9", "x", "1" * 30])
def test_no_version_is_opened_that_is_not_there(browser: Browser, running: TrainingSession, asked: str) -> None:
    page = browser.get(reverse("session_history", args=[running.pk]), {"model": asked}, headers=HTMX).content.decode()
    assert 'data-query=""' in page and 'aria-expanded="true"' not in page and "is-opened" not in page


def test_a_model_without_a_file_is_not_offered_for_download(browser: Browser, running: TrainingSession) -> None:
    running.models.update(file_status=FileStatus.REMOVED)
    page = browser.get(reverse("session_history", args=[running.pk]), headers=HTMX).content.decode()
    assert "file removed" in page and "/api/v1/models/" not in page


def test_six_numbers_are_those_of_the_database(running: TrainingSession) -> None:
    finish_round(running, "anna", "ben", "carl", base_val_accuracy=0.2)
    finish_round(running, "anna", "ben", "carl", base_val_accuracy=0.5)
    found = summary.of(running, now=timezone.now())
    sent = sum(Participation.objects.values_list("num_bytes", flat=True))
    assert (found.progress.completed, found.progress.number, found.received_bytes) == (2, 3, sent)
    assert found.progress.strip == ["is-done", "is-done", "is-now"]
    [accuracy] = found.results
    assert accuracy["value"] == 0.5
    assert round(accuracy["change"], 6) == 0.3
    assert (accuracy["better"], accuracy["since"], accuracy["how"]) == (True, 0, "by the clients")
    assert found.ends_at is not None


def test_a_round_that_lasts_much_longer_than_those_before_tells_no_end(running: TrainingSession) -> None:
    finish_round(running, "anna", "ben", "carl")
    opened = running.active_round().opened_at
    assert summary.of(running, now=opened + timedelta(seconds=9)).ends_at is not None
    assert summary.of(running, now=opened + timedelta(hours=1)).ends_at is None


def test_many_rounds_are_a_bar_instead_of_cells(create: Create) -> None:
    assert summary.of(create(rounds=500), now=timezone.now()).progress.strip == []


def test_an_ended_session_shows_what_can_follow(browser: Browser, running: TrainingSession) -> None:
    for _ in range(3):
        finish_round(running, "anna", "ben", "carl", train_loss=0.5)
    page = compact(browser.get(reverse("session", args=[running.pk])).content.decode())
    assert "Nothing runs any more" in page
    assert "All 3 rounds are done" in page
    assert reverse("session_more", args=[running.pk]) in page
    assert reverse("session_delete", args=[running.pk]) in page
    assert reverse("session_cancel", args=[running.pk]) not in page
    assert re.search(rf'id="train-further" href="{reverse("session_more", args=[running.pk])}"', page)


def test_a_failed_session_says_why_on_top(browser: Browser, running: TrainingSession) -> None:
    models.fail_initial(running.pk, "never", now=timezone.now())  # it has a model: nothing happens
    for _ in range(3):
        fail_round(running)
        rounds.advance(running, now=timezone.now())
    page = browser.get(reverse("session", args=[running.pk])).content.decode()
    assert "<strong>The session failed.</strong> Round 1 failed 3 times." in page


def test_the_global_models_figure_is_on_the_page(browser: Browser, running: TrainingSession) -> None:
    for accuracy in (0.2, 0.5):
        finish_round(running, "anna", "ben", "carl", base_val_accuracy=accuracy)
    page = browser.get(reverse("session", args=[running.pk])).content.decode()
    found = re.search(r'<script id="global-figures" type="application/json">(.*?)</script>', page)
    assert found
    [federated, best] = json.loads(found[1])["accuracy"]["data"]
    assert (federated["x"], federated["y"]) == ([0, 1], [0.2, 0.5])
    assert best["x"] == [1]


def test_a_model_of_late_updates_alone_is_not_the_initial_one(running: TrainingSession) -> None:
    """As in a buffered session whose round closed with updates of clients that began earlier."""
    finish_round(running, "anna", "ben", "carl", train_loss=0.5)
    round_ = running.round_set.get(number=1)
    round_.seats.update(status="late", counted_in=round_)
    newest, initial = history.of(running).versions
    assert (newest.updates, newest.late) == (0, 3)
    assert initial.updates is None
