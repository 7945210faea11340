"""Precision, recall and F1 of each class, from counts that sites can add."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class OfClass:
    """right: examples of the class that were found. predicted: those that were taken for it. there: those of it."""

    right: int
    predicted: int
    there: int

    @property
    def precision(self) -> float | None:
        return self.right / self.predicted if self.predicted else None

    @property
    def recall(self) -> float | None:
        return self.right / self.there if self.there else None

    @property
    def f1(self) -> float | None:
        """2 right / (predicted + there), which is 0 where nothing was found."""
        both = self.predicted + self.there
        return 2 * self.right / both if both else None


def of_confusion(matrix: Sequence[Sequence[int]]) -> list[OfClass]:
    """matrix: [label][prediction]."""
    counts = np.asarray(matrix, np.int64)
    each = zip(counts.diagonal().tolist(), counts.sum(axis=0).tolist(), counts.sum(axis=1).tolist(), strict=True)
    return [OfClass(*one) for one in each]


def of_scores(histograms: Sequence[Sequence[Sequence[int]]]) -> list[OfClass]:
    """Of labels that are there where their probability is above one half. histograms: [class][0, 1][bin]."""
    counts = np.asarray(histograms, np.int64)
    high = counts[:, :, counts.shape[2] // 2 :].sum(axis=2)
    each = zip(high[:, 1].tolist(), high.sum(axis=1).tolist(), counts[:, 1].sum(axis=1).tolist(), strict=True)
    return [OfClass(*one) for one in each]


def mean(values: Sequence[float | None]) -> float | None:
    """Of those that are known, each for as much as another."""
    known = [one for one in values if one is not None]
    return sum(known) / len(known) if known else None
