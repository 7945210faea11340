"""Histograms of a classifier's scores, which sites can add, and the curves that follow from them.

A score is the log-odds of a class: positive if the class is the more probable side. Its histogram has bins of equal
width from -LIMIT to LIMIT; the outer ones also hold what lies beyond. A curve has a point between any two bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from federation.fl.weights import Array

LIMIT = 12.0  # a probability of 0.999994
MOST_BINS, FEWEST_BINS = 60, 16  # even numbers, so that two bins meet at a probability of one half

Histograms = list[list[list[int]]]
"""[class][0: examples of other classes, 1: examples of this one][bin]"""


def of_softmax(outputs: Array) -> Array:
    """The log-odds of each class for logits that softmax makes probabilities of, (n, classes) float64."""
    logits = outputs.astype(np.float64)
    top = logits.argmax(axis=1)
    rest = logits.copy()
    rest[np.arange(len(logits)), top] = -np.inf  # exact also where the probability is 1 within rounding
    of_rest = _log_sum(rest)
    largest = logits[np.arange(len(logits)), top]
    whole = np.logaddexp(largest, of_rest)
    with np.errstate(divide="ignore", invalid="ignore"):
        odds: Array = logits - whole[:, np.newaxis] - np.log1p(-np.exp(logits - whole[:, np.newaxis]))
    odds[np.arange(len(logits)), top] = largest - of_rest
    return odds


def _log_sum(logits: Array) -> Array:
    top = logits.max(axis=1)
    with np.errstate(divide="ignore"):
        found: Array = np.log(np.exp(logits - top[:, np.newaxis]).sum(axis=1)) + top
    return found


def of_sigmoid(outputs: Array) -> Array:
    """The same of one logit of the second of two classes, (n,) -> (n, 2)."""
    return np.stack([-outputs, outputs], axis=1).astype(np.float64)


def bins_for(classes: int, room: int) -> int:
    """How many bins each histogram can have if all of them have `room` integers; 0 if too few."""
    fits = min(room // (2 * classes), MOST_BINS) // 2 * 2 if classes else 0
    return fits if fits >= FEWEST_BINS else 0


def histograms(odds: Array, members: Array, bins: int) -> Histograms:
    """odds: (n, classes), finite or infinite. members: (n, classes) bool, whether an example is of a class."""
    classes = odds.shape[1]
    at = np.clip(np.floor((np.clip(odds, -LIMIT, LIMIT) + LIMIT) * (bins / (2 * LIMIT))), 0, bins - 1).astype(np.int64)
    which = (2 * np.arange(classes) + members.astype(np.int64)) * bins + at
    counts = np.bincount(which.ravel(), minlength=2 * classes * bins).reshape(classes, 2, bins)
    found: Histograms = counts.tolist()
    return found


@dataclass(frozen=True, slots=True)
class Curves:
    """Of one class, from the highest threshold down; each from 0 to 1 and of the same length.

    false_alarms, recall: of the ROC. precision: at each recall; 1 before the first example.
    """

    false_alarms: Array
    recall: Array
    precision: Array

    @property
    def area(self) -> float:
        """Under the ROC: how often an example of the class has the higher score; within a bin, half of the time."""
        return float(np.trapezoid(self.recall, self.false_alarms))

    @property
    def average_precision(self) -> float:
        return float((np.diff(self.recall) * self.precision[1:]).sum())


def curves(histogram: Sequence[Sequence[int]]) -> Curves | None:
    """Of one class's two histograms; None unless there are examples of both sides."""
    others, mine = (np.asarray(one, np.float64)[::-1].cumsum() for one in histogram)
    if not len(mine) or not mine[-1] or not others[-1]:
        return None
    found = mine + others
    precision = np.divide(mine, found, out=np.ones_like(mine), where=found > 0)
    start = np.zeros(1)
    return Curves(
        np.concatenate([start, others / others[-1]]),
        np.concatenate([start, mine / mine[-1]]),
        np.concatenate([np.ones(1), precision]),
    )


def pooled(found: Histograms) -> list[list[int]]:
    """The histograms of all classes together."""
    summed: list[list[int]] = np.asarray(found, np.int64).sum(axis=0).tolist()
    return summed
