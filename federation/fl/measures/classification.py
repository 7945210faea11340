"""Measures of classifiers."""

from federation.fl.measures.measure import Direction, Measure

ACCURACY = Measure("accuracy", "Accuracy", Direction.MAX)
