"""What can stand before a robust rule: it makes the honest updates more alike.

Both give the rule sums of updates in place of the updates, as a matrix with a row for each sum.
"""

from enum import StrEnum

import numpy as np

from federation.fl import sampling
from federation.fl.strategies.gram import distances
from federation.fl.weights import Array


class Before(StrEnum):
    """NOTHING: the rule sees the updates as they are."""

    NOTHING = "nothing"
    MIXING = "mixing"
    BUCKETING = "bucketing"


def nearest(products: Array, liars: int) -> Array:
    """Nearest-neighbour mixing: each update becomes the mean of the n - f that are nearest to it, itself included.

    Allouah et al. 2023 (arXiv:2302.01772), algorithm 2; n > 2 f. products: (n, n), see `gram`. Returns (n, n).
    Of equally near ones the first in seat order are taken.
    """
    return _means(_in_order(distances(products))[:, : len(products) - liars], len(products))


def surely_nearest(products: Array, liars: int, error: float) -> Array | None:
    """What `nearest` makes of exact products, from rough ones. None if they leave a doubt. error: see `gram.rough`."""
    squares, count, found = np.diagonal(products), len(products) - liars, distances(products)
    order = _in_order(found)
    with np.errstate(all="ignore"):  # what is not finite compares as false
        slack = 4 * error * (squares[:, np.newaxis] + squares) + np.finfo(np.float64).tiny
        np.fill_diagonal(slack, 0.0)
        farthest = np.take_along_axis(found + slack, order[:, :count], axis=1).max(axis=1)
        left_out = np.take_along_axis(found - slack, order[:, count:], axis=1).min(axis=1, initial=np.inf)
    return _means(order[:, :count], len(products)) if (farthest < left_out).all() else None


def _in_order(squares: Array) -> Array:
    return np.argsort(squares, axis=1, kind="stable")


def _means(chosen: Array, num_updates: int) -> Array:
    mixture = np.zeros((len(chosen), num_updates))
    np.put_along_axis(mixture, chosen, 1 / chosen.shape[1], axis=1)
    return mixture


def buckets(num_updates: int, size: int, seed: tuple[int, ...]) -> Array:
    """Bucketing: a random order, cut into buckets of s updates; each becomes its mean. The last one may be smaller.

    Karimireddy et al. 2022 (arXiv:2006.09365), algorithm 1. f liars spoil at most f of the n / s buckets.
    Returns (buckets, n). The same seed gives the same buckets, on every machine.
    """
    order = sampling.generator("buckets", *seed).permutation(num_updates)
    mixture = np.zeros((-(-num_updates // size), num_updates))
    for bucket, row in enumerate(mixture):
        members = order[bucket * size : (bucket + 1) * size]
        row[members] = 1 / len(members)
    return mixture
