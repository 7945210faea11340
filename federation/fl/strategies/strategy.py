"""What a strategy sees of a round, and the two functions that make it one.

Files are never whole in memory: a strategy is asked block by block, a block being a run of
coordinates within one tensor. Strategies are pure and keep no state, for several blocks are in the
making at once; what an optimizer must remember stands in its slots and scalars, which are stored with the model.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np

from federation.fl.misfits import Misfit
from federation.fl.options import Option
from federation.fl.weights import Array


@dataclass(frozen=True, slots=True)
class Plan:
    """What a strategy decides once a round. share: (n,) float64, how much each update counts; sums to 1.

    Integer tensors of sessions from before there were buffers are averaged by these shares. factors: (n,) float64, by
    what each update is multiplied for the step, where these are not the shares; they need not sum to 1. scalars: what
    the strategy's scalars are from this round on.
    """

    share: Array
    factors: Array | None = None
    scalars: Mapping[str, float] = field(default_factory=dict)

    @property
    def weights(self) -> Array:
        """By what each update is multiplied for the step: the factors, or the shares."""
        return self.share if self.factors is None else self.factors


@dataclass(frozen=True, slots=True)
class Block:
    """A run of d coordinates of one float tensor.

    base: (d,) float64, the model. deltas: (n, d), the updates in seat order, float64 for an F64
    tensor and else float32 (F16 and BF16 widen exactly); sums of them must run in float64.
    slots: (d,) float64 each. All of it is overwritten by the next block: read it, don't keep or
    change it.
    """

    tensor: str
    base: Array
    deltas: Array
    slots: Mapping[str, Array]

    def weighted_sum(self, share: Array) -> Array:
        """sum_k share_k * delta_k, (d,) float64, added up in seat order."""
        return weighted_sum(self.deltas, share)


@dataclass(frozen=True, slots=True)
class Updates:
    """The n updates of a round, in seat order.

    num_examples and staleness (versions behind): (n,) int64. reduce(f) is the sum of f(block) over
    all blocks, small arrays of one shape; it reads every update once. scalars: what the strategy kept with the model,
    0.0 at first. population: how many clients have taken part in the session so far. learning_rate: with which they
    trained in this round. told(name): a number of each update's metadata, (n,) float64, NaN where it is missing.
    seed: what a random choice of this round is drawn from; the same when the round is aggregated again.
    """

    num_examples: Array
    staleness: Array
    reduce: Callable[[Callable[[Block], Array]], Array]
    scalars: Mapping[str, float] = field(default_factory=dict)
    told: Callable[[str], Array] = lambda name: np.empty(0)
    seed: tuple[int, ...] = ()
    population: int = 0
    learning_rate: float = 1.0

    def share_by_examples(self) -> Array:
        """n_k / n for each update, (n,) float64; with stale updates n_k * discount_k in place of n_k."""
        if not self.staleness.any():
            return np.asarray(self.num_examples / self.num_examples.sum())
        weight = self.num_examples * discount(self.staleness)
        return np.asarray(weight / weight.sum())


def discount(staleness: Array) -> Array:
    """How much an update counts that is s versions behind: (1 + s)^-1/2.

    FedAsync's polynomial, Xie et al. 2019 (arXiv:1903.03934), section 5.2, with the exponent a = 1/2
    that FedBuff takes, Nguyen et al. 2022 (arXiv:2106.06639).
    """
    return np.asarray(1 / np.sqrt(1.0 + staleness))


class Unsuitable(ValueError):
    """A strategy cannot make a model of these updates. str(error) is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Launch:
    """What a session is asked to be beside its strategy.

    quorum: how many must report, at least. follows_settings: whether clients train as the session's settings say.
    optimizer: what they step with, and its options. proximal_mu: of the local options.
    least: with how many updates its schedule may close a round. clips: whether clients clip gradients. compression: of
    updates, by name. counts_late: whether updates of earlier rounds may count. stays: whether tensors stay at sites.
    """

    quorum: int
    follows_settings: bool = True
    optimizer: str = "sgd"
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    proximal_mu: float = 0.0
    least: int = 1
    clips: bool = False
    compression: str = "none"
    counts_late: bool = False
    stays: bool = False


class Strategy(Protocol):
    """How updates become the next model.

    when: one sentence that says when to choose it. slots: names of the arrays that it keeps with the model, zero at
    first. scalars: names of the numbers that it keeps with the model, 0.0 at first. needs: the numbers that it needs
    in the metadata of each update. changes_training: whether clients train by `local_options`, which those that know
    plain SGD alone cannot. keeps_at_clients: whether each client keeps a state (`fl.client_state`); clients that do
    not know how are not asked. personal: whether each client trains a model of its own beside; here, too, only those
    that know how are asked. sends: the slot that clients are sent with their work; empty: none. sees_mean_alone:
    whether it looks at nothing of the updates but their mean, so that it can follow differential privacy. Strategies
    inherit what they do not say themselves.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    when: ClassVar[str]
    options: ClassVar[tuple[Option, ...]]
    needs: ClassVar[tuple[str, ...]] = ()
    changes_training: ClassVar[bool] = False
    keeps_at_clients: ClassVar[bool] = False
    personal: ClassVar[bool] = False
    sends: ClassVar[str] = ""
    sees_mean_alone: ClassVar[bool] = False

    @property
    def slots(self) -> tuple[str, ...]:
        return ()

    @property
    def scalars(self) -> tuple[str, ...]:
        return ()

    def misfit(self, launch: Launch) -> Misfit | None:
        """Why a session cannot be launched with it; None if it can."""
        return None

    def client_config(self) -> dict[str, float]:
        """What clients are told beside epochs, batch size and learning rate: 1.0 for each number that is needed."""
        return dict.fromkeys(self.needs, 1.0)

    def local_options(self) -> Mapping[str, Any]:
        """What it sets of `fl.local_options`."""
        return {}

    def prepare(self, updates: Updates) -> Plan:
        """Once a round, before any step. Raises Unsuitable."""

    def step(self, plan: Plan, block: Block) -> tuple[Array, dict[str, Array]]:
        """The new weights of this block and its new slots, (d,) float64 each: rounding comes after."""

    def combine(self, plan: Plan, values: Array) -> Array:
        """One value of a buffer for each coordinate, made of the clients' own: (n, d) -> (d,) float64.

        The result is kept within the clients' values. A robust strategy does here what it does with parameters.
        """


def weighted_sum(rows: Array, share: Array) -> Array:
    """sum_k share_k * row_k in float64, added up in the order of rows: (n, d), (n,) -> (d,).

    By numpy's own loop, because BLAS chooses an order of its own, and the same updates must make the same model on
    all machines of one kind. One call, which casts a few thousand values at a time: it reads 9 GB/s of float32.
    """
    if rows.shape[1] == 1:  # a sum along the only axis, in an order of its own
        return weighted_sum(rows.repeat(2, axis=1), share)[:1]
    return np.asarray(np.einsum("kd,k->d", rows, share, dtype=np.float64, casting="same_kind"))
