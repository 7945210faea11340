"""Counts of an evaluation as a picture: the sum or one site, in words too, and honest about who sent none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.kit import counts, evaluations
from dashboard.kit.counts import Choice, Kind
from dashboard.kit.parameters import Parameters
from federation.models import Client, Participation, Round, TrainingSession
from federation.services import sessions
from tests.dashboard.cast import HTMX, Create, Enrol
from tests.dashboard.markup import compact
from tests.federation.cast import settle
from tests.federation.services.evaluating import declare, measure
from tests.properties import PROPERTY

BOTH = ["train", "evaluate"]
Evaluated = Callable[..., TrainingSession]
ANNA, BEN = [[8, 2], [1, 9]], [[5, 0], [4, 1]]


@pytest.fixture
def evaluated(enrol: Enrol, create: Create, ticking: None) -> Evaluated:
    """An evaluation in which each client sends these counts; None: it has not answered."""

    def evaluated(**sent: dict[str, Any] | None) -> TrainingSession:
        trained = declare(create(start=True))
        sessions.cancel(trained, by=None, now=timezone.now())
        enrol(*sent, kinds=BOTH)
        now = timezone.now()
        session = settle(sessions.evaluate(trained.models.get(), by=None, now=now), now=now)
        for name, found in sent.items():
            if found is not None:
                measure(name, now, accuracy=0.5, counts=found)
        return settle(session, now=now)

    return evaluated


def picture(session: TrainingSession, name: str = "", site: str = "") -> counts.Picture:
    choice = Choice(name, Client.objects.get(name=site).pk if site else None)
    found = counts.of(evaluations.of_session(session)[0], choice)
    assert found is not None
    return found


def test_the_sum_is_shown_and_each_site_can_be_chosen(evaluated: Evaluated) -> None:
    session = evaluated(anna={"confusion": ANNA}, ben={"confusion": BEN})
    whole = picture(session)
    assert (whole.title, whole.kind, whole.whose) == ("Confusion matrix", Kind.MATRIX, "all sites")
    assert whole.counts == [[13, 2], [5, 10]] and whole.has_sum
    assert [client.name for client in whole.sites] == ["anna", "ben"]
    assert whole.said == ["The sum is of 2 sites."]
    assert whole.finding == (
        "23 of 30 examples are right (77\u202f%). The most frequent mistake: 1 taken for 0, 5 times."
    )
    assert whole.figure["by_row"] and (whole.figure["rows"], whole.figure["columns"]) == ("Label", "Predicted")
    ben = picture(session, site="ben")
    assert (ben.counts, ben.whose, ben.said) == (BEN, "ben", ["Of ben alone."])
    assert ben.query == f"site={Client.objects.get(name='ben').pk}" and whole.query == ""


def test_a_site_that_sent_none_is_named(evaluated: Evaluated) -> None:
    found = picture(evaluated(anna={"confusion": ANNA}, ben={}))
    assert found.counts == ANNA and found.said[:2] == ["The sum is of 1 site.", "ben sent none."]
    assert "--share-histogram" in found.said[2]


def test_without_counts_there_is_no_picture(evaluated: Evaluated) -> None:
    session = evaluated(anna={}, ben={})
    assert counts.of(evaluations.of_session(session)[0], Choice()) is None
    assert counts.of(None, Choice()) is None


def test_counts_of_different_shapes_are_not_added_and_the_page_says_so(evaluated: Evaluated) -> None:
    session = evaluated(anna={"confusion": ANNA}, ben={"confusion": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]})
    found = picture(session)
    assert not found.has_sum and found.site is not None and found.counts == ANNA
    assert found.said == ["They were not added, because their shapes differ: anna 2 × 2 and ben 3 × 3."]
    assert picture(session, site="ben").finding == "3 of 3 examples are right (100\u202f%)."


def test_counts_beside_a_number_of_the_same_name_are_not_added(evaluated: Evaluated) -> None:
    found = picture(evaluated(anna={"accuracy": [1, 2]}, ben={}))
    assert found.counts == [1, 2] and found.said[0] == "They were not added: a number has the same name."


def test_while_the_evaluation_is_open_each_site_is_shown(evaluated: Evaluated) -> None:
    found = picture(evaluated(anna={"seen": [1, 2, 3]}, ben=None))
    assert (found.kind, found.whose) == (Kind.BARS, "anna")
    assert found.said == ["They are added when the evaluation ends."]
    assert found.finding == "6 in all; the most, 3, at 2."


@pytest.mark.parametrize(
    ("sent", "kind", "finding"),
    [
        (12_000, Kind.NUMBER, "12\u202f000."),
        ([0, 0], Kind.BARS, "0 in all; the most, 0, at 0."),
        ([[1, 2, 3], [4, 5, 6]], Kind.MATRIX, "21 in all."),
        ([[[1]]], Kind.NONE, "These counts are not drawn: only numbers, rows and tables of numbers are."),
        ([[1], [2, 3]], Kind.NONE, "These counts are not drawn: only numbers, rows and tables of numbers are."),
        ([], Kind.NONE, "These counts are not drawn: only numbers, rows and tables of numbers are."),
    ],
)
def test_what_is_drawn_depends_on_how_counts_are_nested(
    evaluated: Evaluated, sent: Any, kind: Kind, finding: str
) -> None:
    found = picture(evaluated(anna={"seen": sent}))
    assert (found.kind, found.finding) == (kind, finding)
    assert found.is_drawn == (kind in (Kind.BARS, Kind.MATRIX))


def test_a_matrix_without_examples_or_mistakes_says_so(evaluated: Evaluated) -> None:
    session = evaluated(anna={"confusion": [[0, 0], [0, 0]]}, ben={"confusion": [[3, 0], [0, 4]]})
    assert picture(session, site="anna").finding == "0 of 0 examples are right."
    assert picture(session, site="ben").finding == "7 of 7 examples are right (100\u202f%)."


def test_a_choice_that_is_not_there_shows_what_is_usual(evaluated: Evaluated) -> None:
    session = evaluated(anna={"confusion": ANNA, "seen": [1, 2]})
    evaluation = evaluations.of_session(session)[0]
    for choice in (Choice("other", 999), Choice("", 0), Choice("confusion")):
        found = counts.of(evaluation, choice)
        assert found is not None and (found.name, found.site) == ("confusion", None)
    seen = picture(session, "seen")
    assert (seen.title, seen.query) == ("Seen", "counts=seen")
    assert counts.asked(Parameters({"counts": "seen", "site": "x"})) == Choice("seen", None)


@pytest.mark.parametrize("odd", [None, [], "x", {"confusion": "x"}, {"confusion": [[1, "2"]]}, {"confusion": True}])
def test_rows_that_no_service_wrote_stop_no_page(evaluated: Evaluated, browser: Browser, odd: Any) -> None:
    session = evaluated(anna={"confusion": ANNA})
    Participation.objects.filter(round__session=session).update(counts=odd)
    Round.objects.filter(session=session).update(metrics=odd or {}, errors=odd or {})
    assert browser.get(reverse("session", args=[session.pk])).status_code == 200


def test_pages_draw_what_is_chosen_and_keep_the_choice(evaluated: Evaluated, browser: Browser) -> None:
    session = evaluated(anna={"confusion": ANNA}, ben={"confusion": BEN})
    model = session.models.get().parent
    assert model is not None
    ben = Client.objects.get(name="ben").pk
    pages = {
        reverse("session", args=[session.pk]): {},
        reverse("session_evaluation", args=[session.pk]): HTMX,
        reverse("model", args=[model.pk]): {},
        reverse("model_evaluations", args=[model.pk]): HTMX,
    }
    for address, headers in pages.items():
        whole = compact(browser.get(address, headers=headers).content.decode())
        assert 'aria-label="Confusion matrix of all sites. 23 of 30' in whole and '<option value="">All sites' in whole
        part = compact(browser.get(f"{address}?site={ben}", headers=headers).content.decode())
        assert 'aria-label="Confusion matrix of ben.' in part and f'<option value="{ben}" selected>ben' in part
        assert 'hx-include="#counts-choice"' in part, "a refresh asks for the same"


@settings(PROPERTY)
@given(st.recursive(st.integers() | st.booleans() | st.text(max_size=3) | st.none(), st.lists, max_leaves=30))
def test_a_shape_says_how_many_numbers_there_are(given_: Any) -> None:
    found = counts.shape(given_)
    if found is not None:
        assert all(length > 0 for length in found)
        for depth in found:
            assert isinstance(given_, list) and len(given_) == depth
            given_ = given_[0]
        assert isinstance(given_, int) and not isinstance(given_, bool)
