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
    count = len(products) - liars
    chosen = np.argsort(distances(products), axis=1, kind="stable")[:, :count]
    mixture = np.zeros(products.shape)
    np.put_along_axis(mixture, chosen, 1 / count, axis=1)
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
