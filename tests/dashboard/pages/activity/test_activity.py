"""Who did what, when."""

from __future__ import annotations

from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from dashboard.pages.activity import acts
from federation.models import TrainingSession
from federation.services import models, sessions
from tests.dashboard.cast import model


def test_activity_says_who_did_what_and_can_be_narrowed(trained: TrainingSession, browser: Browser) -> None:
    models.tag(model(trained, 1), "candidate", by="jonas")
    sessions.cancel(trained, by=None, now=timezone.now())
    sessions.delete(create_copy(trained), by=None)
    everything = [line.kind for line in acts.page().lines]
    assert everything[0] == "session.deleted" and {"session.started", "invitation.created"} <= set(everything)
    assert [line.kind for line in acts.page(by="jonas").lines] == ["model.tagged"]
    assert [line.kind for line in acts.page(area="models").lines] == ["model.tagged"]
    assert acts.page(number=9).lines == []
    page = browser.get(reverse("activity_rows"), {"by": "nobody"}).content.decode()
    assert "Nothing like this was done" in page


def create_copy(session: TrainingSession) -> TrainingSession:
    return sessions.create(sessions.spec_of(session), by=None, now=timezone.now())
