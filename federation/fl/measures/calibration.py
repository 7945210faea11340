"""How far a classifier's confidence is from how often it is right: counts that sites can add (Guo et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from federation.fl.weights import Array

BINS = 10  # of equal width, from 0 to 1
SCALE = 10_000  # confidences are summed in ten thousandths, because counts are whole numbers

Bins = list[list[int]]
"""[bin][0: examples, 1: those that are right, 2: the sum of their confidences in 1 / SCALE]"""


def of_classes(odds: Array, labels: Array) -> Bins:
    """Of the most probable class. odds: (n, classes) log-odds. labels: (n,) classes."""
    predicted = odds.argmax(axis=1)
    return counted(_probability(odds[np.arange(len(odds)), predicted]), predicted == labels)


def of_labels(odds: Array, members: Array) -> Bins:
    """Of every label of every example: whether it is there. Both (n, classes)."""
    return counted(_probability(odds).ravel(), members.ravel().astype(bool))


def counted(confidences: Array, right: Array) -> Bins:
    """confidences: (n,) from 0 to 1. right: (n,) bool."""
    at = np.minimum((confidences * BINS).astype(np.int64), BINS - 1)
    examples = np.bincount(at, minlength=BINS)
    hits = np.bincount(at[right], minlength=BINS)
    sums = np.rint(np.bincount(at, weights=confidences, minlength=BINS) * SCALE).astype(np.int64)
    found: Bins = np.stack([examples, hits, sums], axis=1).tolist()
    return found


def _probability(odds: Array) -> Array:
    found: Array = 1 / (1 + np.exp(-np.clip(odds, -700, 700)))
    return found


def points(bins: Sequence[Sequence[int]]) -> list[tuple[float, float, int]]:
    """(mean confidence, share that is right, examples) of each bin that has examples."""
    return [(total / SCALE / count, right / count, count) for count, right, total in bins if count]


def error(bins: Sequence[Sequence[int]]) -> float | None:
    """The expected calibration error: how far both are apart, weighted by examples. None without examples."""
    found = points(bins)
    whole = sum(count for _, _, count in found)
    return sum(abs(confidence - share) * count for confidence, share, count in found) / whole if whole else None
