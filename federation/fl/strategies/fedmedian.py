"""The coordinate-wise median: Yin et al. 2018 (arXiv:1803.01498)."""

from dataclasses import dataclass
from typing import ClassVar

from federation.fl.strategies.mixing import Before
from federation.fl.strategies.ordering import median
from federation.fl.strategies.robust import ByCoordinates, RowsPlan
from federation.fl.strategies.strategy import Plan, Updates
from federation.fl.weights import Array


@dataclass(frozen=True, slots=True)
class FedMedian(ByCoordinates):
    """Algorithm 1, option I: w + median_k(delta_k), coordinate by coordinate.

    Every client counts the same, whatever number of examples it claims: fewer than half of them
    cannot move a coordinate beyond the others' values. For an even number the median is the mean
    of the two in the middle. ``liars`` matters only behind mixing or bucketing. Cost: one reading of the files.
    """

    name: ClassVar[str] = "fedmedian"
    title: ClassVar[str] = "Median"
    summary: ClassVar[str] = "Coordinate-wise median: a minority of broken or lying clients cannot move it far."
    when: ClassVar[str] = "Choose it where a minority of sites may be broken or lie, and the others' data are alike."

    @property
    def rule_needs(self) -> int:
        """One update where nothing stands before it: it holds against any minority."""
        return 1 if self.before == Before.NOTHING else 2 * self.liars + 1

    def prepare(self, updates: Updates) -> RowsPlan:
        found = ByCoordinates.prepare(self, updates)
        return RowsPlan(updates.share_by_examples(), rows=found.rows)  # as in sessions of before

    def combine(self, plan: Plan, values: Array) -> Array:
        return median(values)
