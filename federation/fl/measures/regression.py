"""Measures of models that predict a number."""

from federation.fl.measures.measure import Direction, Measure

MAE = Measure("mae", "Mean absolute error", Direction.MIN)
MSE = Measure("mse", "Mean squared error", Direction.MIN)
