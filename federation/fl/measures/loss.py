"""The loss that training minimises."""

from federation.fl.measures.measure import Direction, Measure

LOSS = Measure("loss", "Loss", Direction.MIN)
