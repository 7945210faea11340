"""What sites measured of compared sessions: their numbers side by side, and one line a session in each picture."""

from __future__ import annotations

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

from dashboard.pages.compare import at_sites, comparison
from federation.lifecycle import SessionStatus, WorkKind
from federation.models import Round, TrainingSession
from tests.dashboard.cast import Create, Enrol
from tests.dashboard.kit.test_drawings import classified, predicted
from tests.dashboard.markup import compact
from tests.federation.cast import settle
from tests.federation.services.evaluating import declare, measure, train


@pytest.fixture
def two(enrol: Enrol, create: Create, ticking: None) -> list[TrainingSession]:
    """Sessions whose last model anna and ben measured, the second one's without scores."""
    enrol("anna", "ben", kinds=["train", "evaluate"])
    found = []
    for number, sent in enumerate((classified(50, 2, 1), predicted(30, 1)), start=1):
        now = timezone.now()
        session = declare(create(name=f"run {number}", rounds=1, quorum=2, start=True))
        session = train(session, "anna", "ben", now=now)
        for name, accuracy in (("anna", 0.5), ("ben", 0.75)):
            measure(name, now, accuracy=accuracy, counts=sent)
        found.append(settle(session, now=now))
    return found


def test_measured_and_derived_numbers_stand_side_by_side(two: list[TrainingSession], browser: Browser) -> None:
    assert [one.status for one in two] == [SessionStatus.COMPLETED] * 2
    shown = at_sites.of(comparison.lines(two), "")
    rows = {row.measure.name: row.columns for row in shown.rows}
    assert [column and column.together for column in rows["accuracy"]] == [0.625, 0.625]
    assert rows["mean_auc"][0] is not None and rows["mean_auc"][1] is None
    assert rows["r2"][0] is None and rows["r2"][1] is not None
    page = browser.get(reverse("compare"), {"s": [one.pk for one in two]}).content.decode()
    assert "At the sites" in page and "worst at anna" in page and 'data-measure="mean_auc"' in page


def test_a_picture_has_a_line_for_each_session_that_can_have_one(two: list[TrainingSession], browser: Browser) -> None:
    shown = at_sites.of(comparison.lines([two[1], two[0]]), "calibration")
    of_classes = ["precision", "recall", "f1"]
    assert [key for key, _ in shown.views] == [*of_classes, "roc", "precision_recall", "calibration", "residuals"]
    assert shown.drawing is not None and shown.drawing.figure["title"] == "Calibration"
    assert [(line.name, line.colour) for line in shown.drawing.lines] == [("run 1", 2)]
    page = browser.get(reverse("compare_parts"), {"s": two[0].pk, "counts": "precision_recall"}).content.decode()
    assert '<option value="precision_recall" selected>' in page and "average precision 0." in page
    assert at_sites.of(comparison.lines(two), "").chosen == "roc"
    assert at_sites.of(comparison.lines([two[1]]), "roc").chosen == "residuals"


def test_residuals_and_classes_are_on_the_page(two: list[TrainingSession], browser: Browser) -> None:
    address = f"{reverse('compare_parts')}?s={two[0].pk}&s={two[1].pk}"
    page = compact(browser.get(f"{address}&counts=residuals").content.decode())
    assert '<option value="residuals" selected>' in page and "counts__plot--lines" in page
    assert "on average</span>" in page and "also hold what is beyond them." in page
    page = compact(browser.get(f"{address}&counts=f1").content.decode())
    assert 'aria-label="F1 of each class, for each session, of all its sites together."' in page
    assert "counts__plot--dots" in page and "comes first" not in page


def test_without_an_evaluation_there_is_nothing(two: list[TrainingSession], browser: Browser) -> None:
    Round.objects.filter(kind=WorkKind.EVALUATE).delete()
    assert at_sites.of(comparison.lines(two), "roc").rows == []
    assert "At the sites" not in browser.get(reverse("compare"), {"s": two[0].pk}).content.decode()
