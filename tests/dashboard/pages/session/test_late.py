"""What the pages say of a late update that counts in the next round."""

import re
from collections.abc import Callable

import numpy as np
import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from dashboard.pages.models import ingredients
from federation import storage
from federation.errors import RoundClosed
from federation.fl import weights
from federation.models import Client, TrainingSession
from federation.services import clients, rounds, seats
from federation.services.seats import updates
from tests.dashboard.cast import report, seat_of

Enrol = Callable[..., list[Client]]
Create = Callable[..., TrainingSession]


def finish(session: TrainingSession) -> None:
    rounds.finish(session, by="mara", now=timezone.now())
    while rounds.advance(session, now=timezone.now()):
        session.refresh_from_db()


@pytest.fixture
def session(enrol: Enrol, create: Create, ticking: None) -> TrainingSession:
    """Ben's update of round 1 came late, and counted in round 2."""
    ben = enrol("anna", "ben")[1]
    session = create(start=True, quorum=1, late_policy="next_round")
    rounds.advance(session, now=timezone.now())
    report(session, "anna")
    seat = seats.of(ben, ben.seats.latest("pk").pk)  # not taken: it ends with its round
    finish(session)
    with storage.scratch() as file, pytest.raises(RoundClosed):
        about = {"num_examples": "50", "base_digest": seat.round.base_model.digest}
        weights.save(file, {"weight": np.full(10, 0.3, np.float32)}, about)
        updates.receive(seats.of(ben, seat.pk), file, now=timezone.now())
    report(session, "anna")
    finish(session)
    return session


def test_it_is_among_what_went_into_the_model_with_its_discounted_share(
    browser: Browser, session: TrainingSession
) -> None:
    model = session.models.get(version=2)
    own, late = ingredients.of(model)
    assert (own.late, late.late, late.seat.client.name) == (False, True, "ben")
    assert round(own.share, 9) == round(1 / (1 + 2**-0.5), 9)
    page = browser.get(reverse("model", args=[model.pk])).content.decode()
    assert "late, of round 1: 1 version behind" in page


def test_the_sessions_page_tells_it(browser: Browser, session: TrainingSession) -> None:
    page = re.sub(r"<[^>]+>", "", browser.get(reverse("session", args=[session.pk])).content.decode())
    assert "and 1 late" in page
    assert "Count it in the next round" in page.replace("count it", "Count it")
    assert "ben sent its update of round 1 too late. It is kept and counts in the next round." in page
    assert "late ones of ben of round 1 among them" in page


def test_skipping_a_client_says_what_becomes_of_its_update(browser: Browser, session: TrainingSession) -> None:
    report(session, "anna")
    page = browser.get(reverse("session_round", args=[session.pk])).content.decode()
    assert "What ben sends later is kept, labelled late, and counts in the next round." in page


def test_one_whose_client_was_disabled_says_why_it_does_not_count(browser: Browser, session: TrainingSession) -> None:
    ben = Client.objects.get(name="ben")
    seat = seat_of(session, "ben")
    rounds.skip(session, seat.pk, by="mara")
    with storage.scratch() as file, pytest.raises(RoundClosed):
        about = {"num_examples": "50", "base_digest": seat.round.base_model.digest}
        weights.save(file, {"weight": np.full(10, 0.3, np.float32)}, about)
        updates.receive(seats.of(ben, seat.pk), file, now=timezone.now())
    address = reverse("session_round", args=[session.pk])
    assert "late; counts in the next round" in browser.get(address).content.decode()
    clients.set_enabled(ben, False, by="mara")
    assert "late; not counted: the client was disabled" in browser.get(address).content.decode()
