"""What a page is told of an evaluation: each site's numbers, how far they are apart, and which site is worst."""

from __future__ import annotations

import pytest
from django.utils import timezone

from dashboard.kit import evaluations
from federation.models import GlobalModel, Participation, Round, TrainingSession
from federation.services import sessions
from tests.federation.cast import settle
from tests.federation.services.evaluating import declare, measure, take

pytestmark = pytest.mark.django_db
BOTH = ["train", "evaluate"]


@pytest.fixture
def evaluation(enrol, create):
    """Evaluates version 0 of a session; each client reports these numbers."""
    session = declare(create(start=True))
    sessions.cancel(session, by=None, now=timezone.now())  # it asks nobody itself

    def evaluation(**told):
        enrol(*told, kinds=BOTH)
        now = timezone.now()
        model = session.models.get(version=0)
        measuring = settle(sessions.evaluate(model, by=None, now=now), now=now)
        for name, numbers in told.items():
            if numbers is not None:
                measure(name, now, **numbers)
        return settle(measuring, now=now)

    return evaluation


def test_sites_columns_and_the_worst_site(evaluation):
    session = evaluation(
        anna={"num_examples": 30, "accuracy": 0.9, "gap": 1.0, "counts": {"seen": [1, 2]}},
        ben={"num_examples": 10, "accuracy": 0.5, "gap": 3.0, "counts": {"seen": [3, 4]}},
    )
    (found,) = evaluations.of_session(session)
    assert [column.measure.name for column in found.columns] == ["accuracy", "gap"]
    first = found.columns[0]
    assert (first.together, first.lowest, first.highest) == (pytest.approx(0.8), 0.5, 0.9)
    assert first.spread == pytest.approx(0.4)
    assert [(site.client.name, site.values, site.num_examples) for site in found.sites] == [
        ("anna", [0.9, 1.0], 30),
        ("ben", [0.5, 3.0], 10),
    ]
    assert found.worst and found.worst.client.name == "ben"
    assert (found.reported, found.num_examples, found.counts, found.is_open) == (2, 40, {"seen": [4, 6]}, False)
    assert (found.main.name, found.word.text) == ("accuracy", "Completed")


def test_of_many_sites_the_worst_and_those_at_work_are_shown(evaluation, monkeypatch):
    monkeypatch.setattr(evaluations, "MOST_SITES", 3)
    told = {name: {"accuracy": 0.9} for name in ("anna", "ben", "cleo")}
    session = evaluation(**told, dora={"accuracy": 0.1}, emil=None)
    (found,) = evaluations.of_session(session)
    assert [site.client.name for site in found.shown] == ["anna", "dora", "emil"]
    assert (len(found.sites), found.hidden) == (5, 2)
    monkeypatch.setattr(evaluations, "MOST_SITES", 5)
    assert (found.shown, found.hidden) == (found.sites, 0)


def test_an_open_evaluation_shows_who_has_not_reported(evaluation):
    session = evaluation(anna={"accuracy": 0.9}, ben=None)
    take("ben", timezone.now())
    (found,) = evaluations.of_session(session)
    assert found.is_open and found.reported == 1
    assert [(site.word.text, site.values) for site in found.sites] == [("Reported", [0.9]), ("Evaluating", [None])]
    assert found.columns[0].together is None and found.worst is None


def test_a_site_without_a_usable_number_is_named(evaluation):
    session = evaluation(anna={"accuracy": None}, ben={"accuracy": 0.5})
    (found,) = evaluations.of_session(session)
    assert found.columns[0].unusable == ["anna"]
    assert found.columns[0].together == 0.5


def test_sites_that_agree_have_no_worst(evaluation):
    session = evaluation(anna={"accuracy": 0.5}, ben={"accuracy": 0.5})
    assert evaluations.of_session(session)[0].worst is None


def test_a_models_evaluations_are_found_by_its_digest(evaluation, django_assert_num_queries):
    session = evaluation(anna={"accuracy": 0.5})
    digest = session.models.get().digest
    with django_assert_num_queries(2):
        assert [one.session for one in evaluations.of_model(digest)] == [session]
    assert evaluations.of_model("0" * 64) == []


@pytest.mark.parametrize("odd", [None, [], "x", {"accuracy": "high"}, {"accuracy": {"code": 1}}])
def test_rows_that_no_service_wrote_stop_no_page(evaluation, odd):
    session = evaluation(anna={"accuracy": 0.5})
    Round.objects.filter(session=session).update(metrics=odd or {}, errors=odd or {})
    Participation.objects.filter(round__session=session).update(metrics=odd or {})
    (found,) = evaluations.of_session(session)
    assert all(column.lowest is None for column in found.columns)


def test_a_session_without_evaluations_has_none(create):
    assert evaluations.of_session(create()) == []
    assert TrainingSession.objects.count() == 1 and GlobalModel.objects.count() <= 1
