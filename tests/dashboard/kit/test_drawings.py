"""What follows from the counts of an evaluation: each class, ROC, calibration, residuals; of all sites and of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.kit import counts, derived, drawings, evaluations
from dashboard.kit.counts import Choice, Kind
from dashboard.kit.drawings import About
from federation.fl.measures import counted, scores
from federation.models import Client, TrainingSession
from federation.services import sessions
from tests.dashboard.cast import Create, Enrol
from tests.dashboard.markup import compact
from tests.federation.cast import settle
from tests.federation.services.evaluating import declare, measure
from tests.properties import PROPERTY

Evaluated = Callable[..., TrainingSession]


def classified(size: int, classes: int, seed: int) -> dict[str, Any]:
    """What a site with a fair model counts."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, size)
    outputs = rng.normal(size=(size, classes)) + 2 * np.eye(classes)[labels]
    return counted.of_classes(labels, outputs.argmax(axis=1), scores.of_softmax(outputs), classes)


def predicted(size: int, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    targets = rng.normal(10, 3, size)
    return counted.of_numbers(targets, targets + rng.normal(0, 1, size), 2.0)


def added(one: Any, other: Any) -> Any:
    if isinstance(one, dict):
        return {name: added(one[name], other[name]) for name in one}
    return [added(*parts) for parts in zip(one, other, strict=True)] if isinstance(one, list) else one + other


@pytest.fixture
def evaluated(enrol: Enrol, create: Create, ticking: None) -> Evaluated:
    """An evaluation in which each client sends these counts."""

    def evaluated(**sent: dict[str, Any]) -> TrainingSession:
        trained = declare(create(start=True))
        sessions.cancel(trained, by=None, now=timezone.now())
        enrol(*sent, kinds=["train", "evaluate"])
        now = timezone.now()
        session = settle(sessions.evaluate(trained.models.get(), by=None, now=now), now=now)
        for name, found in sent.items():
            measure(name, now, accuracy=0.5, counts=found)
        return settle(session, now=now)

    return evaluated


def picture(session: TrainingSession, key: str, site: str = "") -> counts.Picture:
    choice = Choice(key, Client.objects.get(name=site).pk if site else None)
    found = counts.of(evaluations.of_session(session)[0], choice)
    assert found is not None and found.name == key
    return found


def test_of_a_classifier_everything_is_offered_and_the_matrix_comes_first(evaluated: Evaluated) -> None:
    session = evaluated(anna=classified(50, 2, 1), ben=classified(30, 2, 2))
    whole = counts.of(evaluations.of_session(session)[0])
    assert whole is not None and whole.name == "confusion"
    assert [key for key, _ in whole.names] == ["confusion", "by_class", "roc", "precision_recall", "calibration"]
    assert picture(session, "roc").query == "counts=roc" and whole.query == ""


def test_the_curve_of_all_sites_is_that_of_their_summed_histograms(evaluated: Evaluated) -> None:
    anna, ben = classified(50, 2, 1), classified(30, 2, 2)
    session = evaluated(anna=anna, ben=ben)
    for site, sent in (("", added(anna, ben)), ("anna", anna)):
        found = picture(session, "roc", site)
        expected = scores.curves(sent["scores"][1])
        assert expected is not None and found.kind == Kind.LINES
        (line,) = found.figure["series"]
        assert line["x"] == pytest.approx(expected.false_alarms.tolist(), abs=1e-5)
        assert line["y"] == pytest.approx(expected.recall.tolist(), abs=1e-5)
        assert (
            found.finding == f"{found.lines[0].name} AUC {expected.area:.3f}."
            and found.lines[0].told == f"AUC {expected.area:.3f}"
        )


def test_each_class_has_its_numbers(evaluated: Evaluated) -> None:
    found = picture(evaluated(anna={"confusion": [[8, 2, 0], [1, 9, 0], [0, 0, 0]]}), "by_class")
    assert found.kind == Kind.DOTS and found.figure["examples"] == [10, 10, 0]
    precision, recall, f1 = (one["x"] for one in found.figure["series"])
    assert recall == [0.8, 0.9, None] and precision[0] == pytest.approx(8 / 9, abs=1e-4) and f1[2] is None
    assert found.finding == "F1 is 0.850 on average; the lowest is 0.842, of 0. 1 class without an example."


def test_of_many_classes_the_worst_are_drawn(evaluated: Evaluated) -> None:
    session = evaluated(anna=classified(900, 30, 1))
    roc = picture(session, "roc")
    assert len(roc.lines) == 1 + drawings.WORST_LINES and roc.lines[0].name == drawings.POOLED
    assert "The 4 classes with the smallest area are drawn." in roc.finding
    classes = picture(session, "by_class").figure
    order = classes["series"][2]["x"]
    assert len(classes["names"]) == 30 and order == sorted(order)


def test_of_hundred_classes_there_is_the_matrix_and_each_class(evaluated: Evaluated) -> None:
    session = evaluated(anna=classified(2000, 100, 1))
    assert len(picture(session, "by_class").figure["names"]) == 100
    assert [key for key, _ in picture(session, "confusion").names] == ["confusion", "by_class"]


def test_calibration_has_points_by_examples_and_a_diagonal(evaluated: Evaluated) -> None:
    found = picture(evaluated(anna=classified(50, 3, 1)), "calibration")
    (line,) = found.figure["series"]
    assert found.figure["diagonal"] and max(line["sizes"]) == 1 and all(0 <= one <= 1 for one in line["x"] + line["y"])
    assert "are " in found.finding and "apart on average" in found.finding


def test_residuals_are_bars_and_the_sums_words(evaluated: Evaluated) -> None:
    session = evaluated(anna=predicted(80, 1), ben=predicted(20, 2))
    found = picture(session, "residuals")
    assert found.kind == Kind.BARS and sum(found.figure["counts"]) == 100
    assert [key for key, _ in found.names] == ["residuals"]
    assert found.finding.startswith("R² 0.") and "root mean square error" in found.finding


def test_what_follows_from_counts_is_a_measure_with_its_worst_site(evaluated: Evaluated) -> None:
    anna, ben = classified(80, 3, 1), classified(40, 3, 2)
    session = evaluated(anna=anna, ben=ben)
    (found,) = evaluations.of_session(session)
    columns = {column.measure.name: column for column in found.columns}
    assert list(columns)[0] == "accuracy" and found.main and found.main.name == "accuracy"
    together = derived.numbers(added(anna, ben), About())
    own = [derived.numbers(sent, About()) for sent in (anna, ben)]
    for name in ("mean_f1", "mean_auc", "calibration_error"):
        column = columns[name]
        assert column.together == together[name]
        assert (column.lowest, column.highest) == tuple(sorted(one[name] for one in own))
        assert column.spread == pytest.approx(abs(own[0][name] - own[1][name])) and column.worst is not None
    assert all(len(site.values) == len(columns) for site in found.sites)


def test_a_measured_number_stays_beside_one_that_follows_from_counts(evaluated: Evaluated) -> None:
    session = evaluated(anna=predicted(80, 1))
    assert [one.measure.name for one in evaluations.of_session(session)[0].columns] == ["accuracy", "r2", "rmse"]


def test_classes_have_the_names_of_the_sessions_options(evaluated: Evaluated) -> None:
    session = evaluated(anna=classified(60, 2, 1))
    session.workload, session.workload_options = "text", {"classes": "ham, spam"}
    session.save(update_fields=["workload", "workload_options"])
    matrix = picture(session, "confusion")
    assert matrix.figure["names"] == ["ham", "spam"] and " taken for " in matrix.finding
    assert "ham taken for spam" in matrix.finding or "spam taken for ham" in matrix.finding
    assert picture(session, "by_class").figure["names"] == ["ham", "spam"]
    assert picture(session, "roc").lines[0].name == "spam"


def test_each_picture_is_on_its_page(evaluated: Evaluated, browser: Browser) -> None:
    session = evaluated(anna=classified(60, 3, 1), ben=classified(20, 3, 2))
    for key, words in (
        ("roc", "ROC curve of all sites."),
        ("by_class", "Each class of all sites."),
        ("calibration", "Calibration of all sites."),
        ("precision_recall", "Precision and recall of"),
    ):
        page = compact(browser.get(f"{reverse('session', args=[session.pk])}?counts={key}").content.decode())
        assert f'aria-label="{words}' in page and f'<option value="{key}" selected>' in page
        assert ("counts__legend" in page) == (key != "calibration")


COUNTS = st.recursive(
    st.integers(0, 9) | st.booleans() | st.none(), lambda inner: st.lists(inner, max_size=4), max_leaves=20
)


@settings(PROPERTY)
@given(st.dictionaries(st.sampled_from(["confusion", "scores", "calibration", "residuals", "sums"]), COUNTS))
def test_counts_of_any_shape_stop_no_page(given_: dict[str, Any]) -> None:
    derived.numbers(given_, About())
    for view in drawings.offered(list(given_)):
        found = view.draw(given_, About())
        assert found is None or found.figure["title"] == view.title or view.key == "by_label"
