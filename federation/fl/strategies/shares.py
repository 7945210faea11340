"""How much each client counts in a mean: by its examples, all the same, or by its examples up to a limit."""

import math
from enum import StrEnum

import numpy as np

from federation.fl.misfits import Misfit
from federation.fl.options import Option
from federation.fl.strategies.strategy import Launch, Updates, discount
from federation.fl.weights import Array


class Weighting(StrEnum):
    EXAMPLES = "examples"
    EQUAL = "equal"
    CAPPED = "capped"  # by examples, but none beyond most_share


MOST_SHARE = 0.5
OPTIONS = (
    Option(
        "weighting", str, Weighting.EXAMPLES.value, choices=tuple(one.value for one in Weighting),
        help="A client counts by its examples, as much as any other, or by its examples up to the largest share.",
    ),
    Option(
        "most_share", float, MOST_SHARE, minimum=0.0, exclusive_minimum=True, maximum=1.0, label="Largest share",
        help="With capped weighting: what one client counts at most.",
    ),
)  # fmt: skip


def of(updates: Updates, weighting: str, most_share: float) -> Array:
    """How much each update counts, (n,) float64, which sums to 1. Stale updates count less in every case."""
    if weighting == Weighting.EXAMPLES:
        return updates.share_by_examples()
    if weighting == Weighting.EQUAL:
        weight = discount(updates.staleness)
        return np.asarray(weight / weight.sum())
    return capped(updates.share_by_examples(), most_share)


def capped(share: Array, most: float) -> Array:
    """min(most, c * share_k), with the c that makes it sum to 1; equal shares where so few cannot keep to `most`.

    What the largest lose goes to the others in proportion. (n,) float64 -> (n,) float64.
    """
    if len(share) * most <= 1:
        return np.full(len(share), 1 / len(share))
    at_limit = np.zeros(len(share), bool)
    while True:  # each pass puts at least one more at the limit
        free = 1 - most * np.count_nonzero(at_limit)
        found = np.where(at_limit, most, share * (free / share[~at_limit].sum()))
        above = ~at_limit & (found > most)
        if not above.any():
            return np.asarray(found)
        at_limit |= above


def misfit(launch: Launch, weighting: str, most_share: float) -> Misfit | None:
    """That the quorum is too small for the largest share."""
    if weighting != Weighting.CAPPED or launch.quorum * most_share >= 1:
        return None
    needed = math.ceil(1 / most_share)
    return Misfit(
        "strategy.options.most_share",
        f"Of {launch.quorum} updates, which the quorum allows, one counts more than {most_share:g}. "
        f"Choose a quorum of at least {needed}, or a largest share of at least {_rounded_up(1 / launch.quorum):g}.",
    )


def _rounded_up(value: float) -> float:
    return math.ceil(value * 100) / 100
