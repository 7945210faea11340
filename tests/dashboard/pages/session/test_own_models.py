"""The last model beside each site's own: numbers of the same site, the same measure, and the right way round."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from django.test import Client as Browser
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from dashboard.kit import evaluations
from dashboard.kit.evaluations import Site
from dashboard.kit.statuses import Word
from dashboard.pages.session import own_models
from dashboard.pages.session.own_models import EDGE
from federation.fl.measures import Direction, Measure
from federation.models import Client, Participation, TrainingSession
from federation.services import sessions
from tests.dashboard.cast import Create, Enrol
from tests.dashboard.pages.session.test_evaluation import BOTH, page_of
from tests.federation.cast import send, settle
from tests.federation.services.evaluating import declare, measure, take

Trained = Callable[..., TrainingSession]
NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False)


@pytest.fixture
def trained(enrol: Enrol, create: Create, ticking: None) -> Trained:
    """A session of as many rounds as its sites name numbers for; each of its sites tells one a round."""

    def trained(own: str = "val_accuracy", **told: list[float]) -> TrainingSession:
        enrol(*told, kinds=BOTH)
        rounds = len(next(iter(told.values())))
        session = declare(create(start=True, rounds=rounds, quorum=len(told)))
        for number in range(rounds):
            now = timezone.now()
            settle(session, now=now)
            for name, values in told.items():
                take(name, now)
                send(name, now=now, metrics=json.dumps({own: values[number]}))
        return settle(session, now=timezone.now())

    return trained


def found(session: TrainingSession, **told: float | None) -> own_models.OwnModels | None:
    """What is shown after these sites have measured the last model."""
    now = timezone.now()
    for name, value in told.items():
        take(name, now)
        measure(name, now, accuracy=value)
    settle(session, now=now)
    return own_models.of(session, evaluations.of_session(session)[0])


def test_each_site_has_its_number_of_the_last_model_and_of_its_own_last_one(trained: Trained) -> None:
    shown = found(trained(anna=[0.2, 0.9], ben=[0.3, 0.5]), anna=0.7, ben=0.8)
    assert shown is not None and shown.measure.name == "accuracy"
    said = [(row.client.name, row.shared, row.own, row.round_number, row.told) for row in shown.rows]
    assert said == [("anna", 0.7, 0.9, 2, "0.200 worse"), ("ben", 0.8, 0.5, 2, "0.300 better")]
    assert "Of 2 sites, by accuracy: v2 is better than the site's own model at 1, worse at 1." in shown.finding
    assert (shown.low, shown.high) == ("0.500", "0.900")


def test_what_was_trained_after_the_model_is_not_compared_with_it(trained: Trained) -> None:
    session = trained(anna=[0.2, 0.9], ben=[0.3, 0.5])
    Participation.objects.filter(round__kind="train", round__number=2).update(base_version=2)  # the session went on
    shown = found(session, anna=0.7, ben=0.8)
    assert shown is not None and {(row.client.name, row.own, row.round_number) for row in shown.rows} == {
        ("anna", 0.2, 1),
        ("ben", 0.3, 1),
    }


def test_only_sites_with_both_numbers_are_compared(trained: Trained) -> None:
    shown = found(trained(anna=[0.4], ben=[0.5]), anna=None, ben=0.5)
    assert shown is not None and [(row.client.name, row.told) for row in shown.rows] == [("ben", "the same")]
    assert shown.finding.endswith("at 0, worse at 0, and as good at 1.")


def test_without_own_numbers_there_is_no_comparison(trained: Trained) -> None:
    session = trained("train_accuracy", anna=[0.4], ben=[0.5])
    assert found(session, anna=0.4, ben=0.5) is None


def test_the_page_shows_it_and_an_evaluation_session_does_not(trained: Trained, browser: Browser) -> None:
    session = trained(anna=[0.2], ben=[0.3])
    assert 'data-own="anna"' not in page_of(browser, session)
    assert found(session, anna=0.7, ben=0.1) is not None
    page = page_of(browser, session)
    assert "v1 and each site's own model" in page and page.index('data-own="ben"') < page.index('data-own="anna"')
    alone = sessions.evaluate(session.models.latest("version"), by=None, now=timezone.now())
    assert found(settle(alone, now=timezone.now()), anna=0.7, ben=0.1) is None
    assert "data-own=" not in page_of(browser, alone)


def test_more_sites_make_no_more_queries(trained: Trained, django_assert_num_queries) -> None:
    session = trained(anna=[0.2], ben=[0.3], cleo=[0.4], dora=[0.5])
    assert found(session, anna=0.7, ben=0.1, cleo=0.3, dora=0.9) is not None
    newest = evaluations.of_session(session)[0]
    with django_assert_num_queries(1):
        own_models.of(session, newest)


@given(st.sampled_from([Direction.MAX, Direction.MIN]), st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=9))
def test_dots_lie_on_the_axis_as_their_numbers_do(direction: Direction, pairs: list[tuple[float, float]]) -> None:
    by = Measure("score", direction=direction)
    ends = own_models._ends([value for pair in pairs for value in pair])
    assert ends[0] < ends[1]
    for shared, own in pairs:
        site = Site(Participation(client=Client(name="anna")), Word("", "", ""), [shared], False, [])
        row = own_models._row(by, site, shared, own, 1, *ends)
        assert EDGE - 1e-9 <= min(row.at_shared, row.at_own) <= max(row.at_shared, row.at_own) <= 1 - EDGE + 1e-9
        assert (row.at_shared >= row.at_own) == (shared >= own) or row.at_shared == row.at_own
        assert row.is_behind == (shared < own if direction == Direction.MAX else shared > own)


def test_a_personal_model_is_shown_where_sites_measured_one(trained: Trained, browser: Browser) -> None:
    session, now = trained(anna=[0.9], ben=[0.1], carl=[0.2]), timezone.now()
    for name, shared, personal in (("anna", 0.5, 0.75), ("ben", 0.5, 0.25), ("carl", 0.5, None)):
        take(name, now)
        measure(name, now, accuracy=shared, **({} if personal is None else {"personal_accuracy": personal}))
    settle(session, now=now)
    evaluation = evaluations.of_session(session)[0]
    shown = own_models.of(session, evaluation)
    assert shown is not None
    said = [(row.client.name, row.shared, row.own, row.round_number, row.told) for row in shown.rows]
    assert said == [("anna", 0.5, 0.75, None, "0.250 worse"), ("ben", 0.5, 0.25, None, "0.250 better")]
    assert shown.finding == "Of 2 sites, by accuracy: v1 is better than the site's personal model at 1, worse at 1."
    assert [column.measure.title for column in evaluation.columns][-1] == "Personal model's accuracy"
    table = page_of(browser, session).partition("each site's personal model")[2].partition("</table>")[0]
    assert 'data-own="anna"' in table and "round 1" not in table
