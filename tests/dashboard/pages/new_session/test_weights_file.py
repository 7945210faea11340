"""A session can begin with a file that an operator uploaded."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import Group, User
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from federation import access, storage
from federation.fl import weights
from federation.lifecycle import FileStatus
from federation.models import ModelUpload, TrainingSession
from federation.services import models, sessions
from federation.services.models import uploads
from tests.dashboard.cast import HTMX
from tests.dashboard.markup import compact
from tests.dashboard.pages.new_session.test_new_session import TYPED

Send = Callable[..., ModelUpload]
WEIGHT = np.arange(12, dtype=np.float32)


@pytest.fixture
def send(mara: User, tmp_path: Any) -> Send:
    """A whole file arrives."""

    def send(name: str = "mine.safetensors", **tensors: Any) -> ModelUpload:
        file = tmp_path / "sent"
        file.write_bytes(weights.dump(tensors or {"weight": WEIGHT}))
        upload = uploads.begin(name, file.stat().st_size, by=mara, now=timezone.now())
        uploads.take_in(upload, file)
        upload.refresh_from_db()
        return upload

    return send


def post(browser: Browser, digest: str, **change: str) -> Any:
    body = TYPED | {"launch": "1", "start_from": "file", "initial_model": digest} | change
    return browser.post(reverse("session_new"), body)


def begin(browser: Browser, upload: ModelUpload, **change: str) -> TrainingSession:
    assert post(browser, upload.digest, **change).status_code == 302
    return TrainingSession.objects.latest("pk")


def test_a_session_begins_with_the_file(browser: Browser, send: Send) -> None:
    upload = send()
    session = begin(browser, upload)
    assert (session.initial_model, session.start_from, session.status) == (upload, None, "running")
    models.request_initial(session, then=lambda: None)
    assert session.models.get().digest == upload.digest


def test_a_draft_keeps_the_file(browser: Browser, send: Send) -> None:
    upload = send()
    browser.post(reverse("session_new"), TYPED | {"draft": "1", "start_from": "file", "initial_model": upload.digest})
    assert TrainingSession.objects.get().initial_model == upload


@pytest.mark.parametrize(
    "tensors, why",
    [
        ({"other": WEIGHT}, "It lacks the tensor weight."),
        ({"weight": WEIGHT, "bias": WEIGHT}, "It has the tensor bias, which the model has not."),
        ({"weight": WEIGHT[:3]}, "Its tensor weight is F32 [3]; the model&#x27;s is F32 [12]."),
    ],
)
def test_a_file_of_another_model_is_refused_with_the_tensor_and_stays_chosen(
    browser: Browser, send: Send, tensors: dict[str, Any], why: str
) -> None:
    upload = send(**tensors)
    answer = post(browser, upload.digest)
    page = compact(answer.content.decode())
    assert answer.status_code == 422
    assert f"The uploaded model mine.safetensors is not one of synthetic. {why}" in page
    assert f'name="initial_model" value="{upload.digest}"' in page
    assert '<option value="file" selected>' in page
    assert re.search(rf'value="{upload.digest}"\s+checked', page)
    assert not TrainingSession.objects.exists()


def test_a_choice_without_a_file_is_refused_beside_it(browser: Browser, send: Send) -> None:
    for digest, why in (("", "Choose a file, and wait"), ("f" * 64, "no uploaded model with the digest ffffffffffff")):
        answer = browser.post(
            reverse("session_check"), TYPED | {"start_from": "file", "initial_model": digest, "rounds": "0"}
        )
        errors = answer.json()["errors"]
        assert why in errors["initial_model"] and "rounds" in errors


def test_the_file_counts_only_where_it_is_chosen(browser: Browser, send: Send) -> None:
    upload = send(other=WEIGHT)
    assert post(browser, upload.digest, start_from="").status_code == 302
    assert TrainingSession.objects.get().initial_model is None


def test_a_lost_file_begins_nothing(browser: Browser, send: Send) -> None:
    upload = send()
    ModelUpload.objects.update(file_status=FileStatus.LOST)
    assert post(browser, upload.digest).status_code == 422


def test_change_and_run_again_chooses_the_same_file(browser: Browser, send: Send) -> None:
    upload = send()
    session = begin(browser, upload)
    page = compact(browser.get(reverse("session_new"), {"from": session.pk}).content.decode())
    assert '<option value="file" selected>' in page
    assert f'name="initial_model" value="{upload.digest}"' in page


def test_where_the_upload_was_removed_version_0_is_chosen_instead(browser: Browser, send: Send) -> None:
    upload = send()
    session = begin(browser, upload)
    models.request_initial(session, then=lambda: None)
    uploads.delete(upload)
    page = browser.get(reverse("session_new"), {"from": session.pk}).content.decode()
    assert f'<option value="{session.pk}:0" selected>' in page
    assert "an uploaded file, deleted since" in browser.get(reverse("session", args=[session.pk])).content.decode()


def test_a_session_and_its_model_say_where_it_came_from(browser: Browser, send: Send) -> None:
    session = begin(browser, send())
    models.request_initial(session, then=lambda: None)
    model = session.models.get()
    for page in (reverse("session", args=[session.pk]), reverse("model", args=[model.pk])):
        assert "uploaded file mine.safetensors" in browser.get(page).content.decode()
    uploads.delete(session.initial_model)  # type: ignore[arg-type]
    assert "an uploaded file, deleted since" in browser.get(reverse("model", args=[model.pk])).content.decode()


def test_a_session_that_runs_again_begins_with_the_same_file(browser: Browser, send: Send, mara: User) -> None:
    upload = send()
    again = sessions.again(begin(browser, upload), by=mara, now=timezone.now())
    assert again.initial_model == upload


def test_files_that_are_here_are_listed_with_size_time_and_person(browser: Browser, send: Send) -> None:
    upload = send("<b>mine</b>.safetensors")
    uploads.begin("half.safetensors", 50, by=None, now=timezone.now())
    page = compact(browser.get(reverse("uploads"), {"initial_model": upload.digest}).content.decode())
    assert "&lt;b&gt;mine&lt;/b&gt;.safetensors" in page and "half" not in page
    assert "mara" in page and re.search(rf"{upload.num_bytes}\s*<span", page)
    assert re.search(rf'value="{upload.digest}"\s+checked', page)


def test_a_file_is_deleted_after_a_question(browser: Browser, send: Send) -> None:
    upload = send()
    at = reverse("upload_delete", args=[upload.pk])
    assert "Delete the uploaded file mine.safetensors?" in browser.get(at, headers=HTMX).content.decode()
    answer = browser.post(at, headers=HTMX)
    assert answer.status_code == 204 and "uploads-changed" in answer["HX-Trigger"]
    assert not ModelUpload.objects.exists() and not storage.exists(upload.digest)


def test_a_file_that_a_session_waits_for_is_not_deleted(browser: Browser, send: Send) -> None:
    upload = send()
    begin(browser, upload)
    answer = browser.post(reverse("upload_delete", args=[upload.pk]), headers=HTMX)
    assert answer.status_code == 409 and "is to begin with it" in answer["HX-Trigger"]
    assert ModelUpload.objects.exists()


def test_who_may_only_look_sees_no_files(stranger: Browser, send: Send) -> None:
    vera = User.objects.create_user("vera", password="correct-horse")
    vera.groups.add(Group.objects.get_or_create(name=access.VIEWERS)[0])
    stranger.force_login(vera)
    upload = send()
    for at in (reverse("uploads"), reverse("upload_delete", args=[upload.pk])):
        assert stranger.get(at).status_code == 403


def test_without_javascript_the_choice_says_what_it_needs(browser: Browser) -> None:
    page = compact(browser.get(reverse("session_new")).content.decode())
    assert re.search(r"<noscript>.*switch JavaScript on.*</noscript>", page)
