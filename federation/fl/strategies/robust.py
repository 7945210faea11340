"""What the robust strategies share: how many may lie, and what stands before the rule.

Every client counts the same, whatever number of examples it claims. Buffers are no part of any distance, so a rule that
chooses by distances takes the median of the clients' own values of them; nothing stands before that.
"""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from federation.fl.misfits import Misfit
from federation.fl.options import Option
from federation.fl.strategies.gram import gram, mixed, rough
from federation.fl.strategies.mixing import Before, buckets, nearest, surely_nearest
from federation.fl.strategies.ordering import median
from federation.fl.strategies.strategy import (
    Block,
    Launch,
    Plan,
    Strategy,
    Unsuitable,
    Updates,
)
from federation.fl.strategies.sums import sums
from federation.fl.weights import Array

LIARS = Option(
    "liars", int, 1, 0, 10_000, label="Lying clients", help="The most that may lie or be broken in a round, f."
)
BEFORE = (
    Option(
        "before",
        str,
        Before.NOTHING.value,
        choices=tuple(one.value for one in Before),
        label="Before the rule",
        help="Where clients' data differ: the mean of nearest neighbours (mixing), or of random groups (bucketing).",
    ),
    Option("bucket_size", int, 2, 1, 1_000, help="How many updates a group of bucketing has, s."),
)


@dataclass(frozen=True, slots=True)
class RowsPlan(Plan):
    """rows: (m, n), the sums of updates that a rule sees; None: the updates as they are."""

    rows: Array | None = None


def rows_of(plan: Plan, block: Block) -> Array:
    """The rows of a block that a rule sees, (m, d), in the updates' precision; sums run in float64."""
    if not isinstance(plan, RowsPlan) or plan.rows is None:
        return block.deltas
    return sums(block.deltas, plan.rows)


@dataclass(frozen=True, slots=True)
class Robust(Strategy):
    """The options of a rule and what they make of the updates."""

    liars: int = 1
    before: str = Before.NOTHING.value
    bucket_size: int = 2

    options: ClassVar[tuple[Option, ...]] = (LIARS, *BEFORE)

    @property
    def rule_needs(self) -> int:
        """How many rows the rule itself needs."""
        return 2 * self.liars + 1

    @property
    def least(self) -> int:
        """How many updates a round needs."""
        if self.before == Before.BUCKETING:
            return self.bucket_size * (self.rule_needs - 1) + 1
        return self.rule_needs

    def misfit(self, launch: Launch) -> Misfit | None:
        """That a round may close with fewer updates than the assumption asks for."""
        if launch.least >= self.least:
            return None
        needs = f"{self.title} needs at least {self.least} updates in a round with these options"
        if launch.quorum >= self.least:
            sentence = f"{needs}, and this schedule may close one with {launch.least}. Choose another schedule."
            return Misfit("schedule.name", sentence)
        return Misfit("quorum", f"{needs}. Choose a quorum of {self.least} or more.")

    def require(self, updates: Updates) -> None:
        """Raises Unsuitable if fewer updates came than the assumption asks for."""
        if (given := len(updates.num_examples)) < self.least:
            raise Unsuitable(f"{self.title} needs at least {self.least} updates in a round, and there are {given}.")

    def mixture(self, updates: Updates, products: Callable[[], Array]) -> Array | None:
        """The rows that the rule sees, as sums of updates. None: the updates. products: called if it is needed."""
        if self.before == Before.MIXING:
            return nearest(products(), self.liars)
        if self.before == Before.BUCKETING:
            return buckets(len(updates.num_examples), self.bucket_size, updates.seed)
        return None


@dataclass(frozen=True, slots=True)
class ByCoordinates(Robust):
    """A rule that looks at each coordinate alone. It needs distances only for mixing."""

    def prepare(self, updates: Updates) -> RowsPlan:
        self.require(updates)
        count = len(updates.num_examples)
        return RowsPlan(np.full(count, 1 / count), rows=self._rows(updates))

    def _rows(self, updates: Updates) -> Array | None:
        """Mixing asks only who is near to whom, which rough products nearly always tell."""
        surely = None
        if self.before == Before.MIXING:
            products, error = rough(updates)
            surely = surely_nearest(products, self.liars, error)
        return self.mixture(updates, lambda: gram(updates)) if surely is None else surely

    def step(self, plan: Plan, block: Block) -> tuple[Array, dict[str, Array]]:
        return block.base + self.combine(plan, rows_of(plan, block)), {}

    @abc.abstractmethod
    def combine(self, plan: Plan, values: Array) -> Array:
        """The rule: (n, d) -> (d,) float64, for the rows of a block as for the clients' values of a buffer."""


@dataclass(frozen=True, slots=True)
class ByDistances(Robust):
    """A rule whose result is a sum of the updates, with weights that follow from their scalar products."""

    @abc.abstractmethod
    def weights(self, products: Array) -> Array:
        """(m,) float64, from the products of the rows, (m, m)."""

    def prepare(self, updates: Updates) -> Plan:
        self.require(updates)
        products = gram(updates)
        mixture = self.mixture(updates, lambda: products)
        if mixture is None:
            return Plan(self.weights(products))
        return Plan(np.einsum("m,mn->n", self.weights(mixed(products, mixture)), mixture))

    def step(self, plan: Plan, block: Block) -> tuple[Array, dict[str, Array]]:
        return block.base + block.weighted_sum(plan.share), {}

    def combine(self, plan: Plan, values: Array) -> Array:
        return median(values)
