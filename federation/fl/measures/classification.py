"""Measures of classifiers."""

from federation.fl.measures.measure import SHARE, Direction, Measure

ACCURACY = Measure("accuracy", "Accuracy", Direction.MAX, SHARE)
