"""The coordinate-wise trimmed mean: Yin et al. 2018 (arXiv:1803.01498)."""

from dataclasses import dataclass
from typing import ClassVar

from federation.fl.strategies.ordering import trimmed_mean
from federation.fl.strategies.robust import ByCoordinates
from federation.fl.strategies.strategy import Plan
from federation.fl.weights import Array


@dataclass(frozen=True, slots=True)
class TrimmedMean(ByCoordinates):
    """Algorithm 1, option II, with beta n = f: the mean of each coordinate without its f smallest and f largest values.

    Assumes n > 2 f updates, of which at most f lie. Every client counts the same. Buffers are trimmed like parameters.
    Cost: one reading of the files, and less than a sort of each coordinate.
    """

    name: ClassVar[str] = "trimmed_mean"
    title: ClassVar[str] = "Trimmed mean"
    summary: ClassVar[str] = "Mean of each coordinate without its smallest and largest values."
    when: ClassVar[str] = (
        "Choose it, behind mixing where clients' data differ, if you can say how many clients may lie at most."
    )

    def combine(self, plan: Plan, values: Array) -> Array:
        return trimmed_mean(values, self.liars)
