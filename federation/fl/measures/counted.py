"""What a site counts of a model for pictures, within what one result may hold.

confusion: [label][prediction]. scores: `scores.Histograms`. calibration: `calibration.Bins`. residuals, sums: of
predicted numbers, as `residuals` makes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from federation.fl.measures import calibration, classification, residuals, scores
from federation.fl.weights import Array

MOST_INTEGERS = 10_000  # in the counts of one result
OF_CALIBRATION = calibration.BINS * 3


def of_classes(labels: Array, predicted: Array, odds: Array | None, classes: int) -> dict[str, Any]:
    """labels, predicted: (n,) classes. odds: (n, classes) log-odds, None where a model has none.

    With 86 to 99 classes there is no room for all histograms beside the matrix; they are of all classes together then.
    With 100 there is room for the matrix alone.
    """
    matrix = classification.confusion(labels, predicted, classes)
    counts: dict[str, Any] = {} if matrix is None else {"confusion": matrix}
    if odds is None or np.isnan(odds).any() or not _are_classes(labels, classes):
        return counts
    members = labels[:, np.newaxis] == np.arange(classes)
    room = MOST_INTEGERS - (classes**2 if matrix is not None else 0) - OF_CALIBRATION
    if found := _histograms(odds, members, room):
        counts |= {"scores": found, "calibration": calibration.of_classes(odds, labels)}
    return counts


def of_labels(members: Array, odds: Array | None) -> dict[str, Any]:
    """Of examples that may have several labels. members: (n, labels), above 0 where a label is there."""
    if odds is None or np.isnan(odds).any():
        return {}
    found = _histograms(odds, members > 0, MOST_INTEGERS - OF_CALIBRATION)
    return {"scores": found, "calibration": calibration.of_labels(odds, members > 0)} if found else {}


def of_numbers(targets: Array, predictions: Array, unit: float) -> dict[str, Any]:
    """targets, predictions: (n,). unit: the same at all sites. Nothing if a prediction is not finite."""
    if not np.isfinite(predictions).all():
        return {}
    found = residuals.sums(targets, predictions, unit)
    return {} if found is None else {"residuals": residuals.histogram(targets, predictions, unit), "sums": found}


def _histograms(odds: Array, members: Array, room: int) -> scores.Histograms | None:
    if bins := scores.bins_for(odds.shape[1], room):
        return scores.histograms(odds, members, bins)
    if bins := scores.bins_for(1, room):
        return scores.histograms(odds.reshape(-1, 1), members.reshape(-1, 1), bins)
    return None


def _are_classes(labels: Array, classes: int) -> bool:
    return bool(len(labels)) and int(labels.min()) >= 0 and int(labels.max()) < classes
