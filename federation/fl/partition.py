"""Split one labelled data set among several clients, evenly or with skewed labels: for demos and experiments.

Every process computes the whole split from (labels, partition, seed) and takes its own shard,
so nothing has to be handed around.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from federation.fl.sampling import generator
from federation.fl.weights import Array

HANDFUL = 8  # examples that every shard gets at least, where there are enough
ALLOWED = (
    'use "iid", or "dirichlet:0.5" with a concentration from 0.01 to 1000, "quantity:0.5" with one, '
    '"shards:2" with 1 to 100 pieces a client, or "slices"'
)


class PartitionError(ValueError):
    """A partition or shard that is not allowed. str(error) says what is."""


class Kind(StrEnum):
    """What is different from client to client. The values are how a partition is written."""

    IID = "iid"  # nothing
    LABELS = "dirichlet"  # how frequent each label is
    SIZES = "quantity"  # how many examples there are
    PIECES = "shards"  # which labels there are: each client has a few pieces of the data sorted by label
    ORDER = "slices"  # the data are cut as they come, the first part for the first client


@dataclass(frozen=True, slots=True)
class Partition:
    """How examples are spread. alpha: the Dirichlet concentration (small: skewed), for LABELS and SIZES.

    pieces: how many each client has, for PIECES.
    """

    alpha: float | None = None
    kind: Kind = Kind.IID
    pieces: int = 0


def parse(spec: str) -> Partition:
    """The partition that is written as "iid", "dirichlet:0.5" and the like. Raises PartitionError."""
    word, colon, text = spec.partition(":")
    match word:
        case Kind.IID | Kind.ORDER if not colon:
            return Partition(kind=Kind(word))
        case Kind.LABELS | Kind.SIZES if (alpha := _number(text)) is not None:
            return Partition(alpha, Kind(word))
        case Kind.PIECES if re.fullmatch(r"[1-9][0-9]?|100", text):
            return Partition(kind=Kind.PIECES, pieces=int(text))
    raise PartitionError(f"{spec!r} is not a partition: {ALLOWED}.")


def _number(text: str) -> float | None:
    """A concentration that is allowed, or None."""
    try:
        alpha = float(text)
    except ValueError:
        return None
    return alpha if 0.01 <= alpha <= 1000 else None


def parse_shard(text: str) -> tuple[int, int]:
    """The shard that is written as "2/4": (2, 4), counted from 1. Raises PartitionError."""
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    shard, num_shards = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= shard <= num_shards:
        raise PartitionError(f'{text!r} is not a shard: write "2/4" for the second of four.')
    return shard, num_shards


def shard_indices(labels: Array, partition: Partition, *, shard: int, num_shards: int, seed: int) -> Array:
    """Which examples belong to a shard, ascending (int64).

    labels: (n,) int64. shard: from 1 to num_shards. All shards together are every example
    exactly once, and each holds at least min(8, n // num_shards). Without labels (n = 0)
    every shard is empty.

    LABELS: each class is divided in proportions drawn from Dirichlet(alpha, ..., alpha), Hsu, Qi
    and Brown 2019 (arXiv:1909.06335); SIZES: all examples together are (Li et al. 2022,
    arXiv:2102.02079, section 4.3). Then too small shards are filled up from the largest. PIECES:
    examples sorted by label are cut into equal pieces, which are dealt out (McMahan et al. 2017,
    arXiv:1602.05629, section 3). Raises PartitionError if there are fewer examples than shards, or
    than pieces.
    """
    if not 1 <= shard <= num_shards:
        raise PartitionError(f"There is no shard {shard} of {num_shards}.")
    return all_shards(labels, partition, num_shards=num_shards, seed=seed)[shard - 1]


def all_shards(labels: Array, partition: Partition, *, num_shards: int, seed: int) -> list[Array]:
    """What `shard_indices` gives for each shard, in order: one split for whoever needs them all.

    Raises PartitionError if there are fewer examples than shards.
    """
    if len(labels) == 0:
        return [np.empty(0, np.int64)] * num_shards
    if len(labels) < num_shards:
        raise PartitionError(f"{len(labels)} examples are too few for {num_shards} shards.")
    rng = generator("partition", seed, num_shards)
    return [np.sort(shard).astype(np.int64) for shard in _SPLITS[partition.kind](labels, partition, num_shards, rng)]


def _evenly(labels: Array, partition: Partition, num_shards: int, rng: np.random.RandomState) -> list[Array]:
    return np.array_split(rng.permutation(len(labels)), num_shards)


def _in_order(labels: Array, partition: Partition, num_shards: int, rng: np.random.RandomState) -> list[Array]:
    return np.array_split(np.arange(len(labels)), num_shards)


def _by_labels(labels: Array, partition: Partition, num_shards: int, rng: np.random.RandomState) -> list[Array]:
    assert partition.alpha is not None
    shards = _dirichlet(labels, partition.alpha, num_shards, rng)
    _fill_up(shards, min(HANDFUL, len(labels) // num_shards))
    return shards


def _by_sizes(labels: Array, partition: Partition, num_shards: int, rng: np.random.RandomState) -> list[Array]:
    return _by_labels(np.zeros(len(labels), np.int64), partition, num_shards, rng)


def _by_pieces(labels: Array, partition: Partition, num_shards: int, rng: np.random.RandomState) -> list[Array]:
    count = num_shards * partition.pieces
    if len(labels) < count:
        raise PartitionError(
            f"{len(labels)} examples are too few for {num_shards} shards of {partition.pieces} pieces."
        )
    pieces = np.array_split(np.argsort(labels, kind="stable"), count)
    dealt = rng.permutation(count).reshape(num_shards, partition.pieces)
    return [np.concatenate([pieces[index] for index in mine]) for mine in dealt]


_SPLITS: Mapping[Kind, Callable[[Array, Partition, int, np.random.RandomState], list[Array]]] = {
    Kind.IID: _evenly,
    Kind.LABELS: _by_labels,
    Kind.SIZES: _by_sizes,
    Kind.PIECES: _by_pieces,
    Kind.ORDER: _in_order,
}


def _dirichlet(labels: Array, alpha: float, num_shards: int, rng: np.random.RandomState) -> list[Array]:
    pieces: list[list[Array]] = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        # With a small alpha every gamma variate may underflow to zero; the sum must not.
        shares = rng.standard_gamma(alpha, num_shards) + 1e-300
        cuts = np.rint(np.cumsum(shares / shares.sum())[:-1] * len(members)).astype(np.int64)
        pieces.append(np.split(members, cuts))
    # Shuffled, so that what a large shard gives away is not all of one class.
    return [rng.permutation(np.concatenate(parts)) for parts in zip(*pieces, strict=True)]


def _fill_up(shards: list[Array], least: int) -> None:
    """Move examples, one by one, from the largest shard to each that has too few."""
    for index in range(len(shards)):
        while len(shards[index]) < least:
            largest = max(range(len(shards)), key=lambda other: len(shards[other]))
            shards[index] = np.append(shards[index], shards[largest][-1])
            shards[largest] = shards[largest][:-1]
