"""Numbers that follow from counts, of one site or of all together: F1, AUC, calibration, R² and their like."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dashboard.kit import drawings
from federation.fl.measures import Direction, Measure, by_class, calibration
from federation.fl.measures.measure import SHARE

MEASURES: Mapping[str, Measure] = {
    measure.name: measure
    for measure in (
        Measure("mean_f1", "F1, mean of classes", Direction.MAX, SHARE),
        Measure("mean_auc", "AUC, mean of classes", Direction.MAX, SHARE),
        Measure("mean_precision", "Precision, mean of classes", Direction.MAX, SHARE),
        Measure("mean_recall", "Recall, mean of classes", Direction.MAX, SHARE),
        Measure("mean_ap", "Average precision, mean of classes", Direction.MAX, SHARE),
        Measure("calibration_error", "Calibration error", Direction.MIN, SHARE),
        Measure("r2", "R²", Direction.MAX),
        Measure("rmse", "Root mean square error", Direction.MIN),
    )
}


def numbers(counts: Mapping[str, Any], known: drawings.About) -> dict[str, float]:
    """What follows from some counts, by measure, in the order of MEASURES; what does not is left out."""
    classes, curves, sums = drawings.classes_of(counts), drawings.each_curve(counts), drawings.sums_of(counts)
    found = {
        "mean_f1": by_class.mean([one.f1 for one in classes]),
        "mean_precision": by_class.mean([one.precision for one in classes]),
        "mean_recall": by_class.mean([one.recall for one in classes]),
        "mean_auc": by_class.mean([one.area for one in curves]),
        "mean_ap": by_class.mean([one.average_precision for one in curves]),
        "calibration_error": _calibration(counts),
        "r2": sums.determination if sums else None,
        "rmse": sums.root_mean_square * known.unit if sums else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _calibration(counts: Mapping[str, Any]) -> float | None:
    return calibration.error(counts["calibration"]) if drawings.calibration_line(counts, "", 1) else None
