"""Measures of classifiers."""

import numpy as np

from federation.fl.measures.measure import SHARE, Direction, Measure
from federation.fl.weights import Array

ACCURACY = Measure("accuracy", "Accuracy", Direction.MAX, SHARE)
MOST_CLASSES = 100  # in a confusion matrix


def confusion(labels: Array, predicted: Array, num_classes: int) -> list[list[int]] | None:
    """How many examples of each label (row) got each prediction (column), (num_classes, num_classes).

    labels, predicted: (n,) integers. None with more than MOST_CLASSES classes, or if one of them is no class.
    """
    if not 0 < num_classes <= MOST_CLASSES or labels.shape != predicted.shape:
        return None
    if any(((each < 0) | (each >= num_classes)).any() for each in (labels, predicted)):
        return None
    found = np.bincount(labels.astype(np.int64) * num_classes + predicted.astype(np.int64), minlength=num_classes**2)
    return [[int(count) for count in row] for row in found.reshape(num_classes, num_classes)]
