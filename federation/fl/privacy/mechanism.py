"""The noised mean of clipped updates: all that a strategy sees of the clients in a private session.

What is made of it needs no further noise, so that any optimizer of the server can follow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from federation.fl.privacy.clippings import Adaptation, Clipping
from federation.fl.strategies.strategy import Block, weighted_sum
from federation.fl.weights import Array

SCALAR = "privacy_clip"  # of an adaptive clip, kept with the model
COUNT_NOISE = 1 / 20  # of the clients: the paper's, section 3.1
MOST_CLIP = 1e12


class Source(Protocol):
    """Where noise comes from: `fl.privacy.noise.Noise`."""

    def of_tensor(self, name: str, start: int, count: int) -> Array: ...
    def of_count(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Private:
    """What a private round is made with.

    expected: by what the sum of updates is divided: how many clients Poisson sampling draws on average. None: as many
    as have reported.
    """

    clipping: Clipping
    noise: Source
    expected: float | None = None

    @property
    def scalars(self) -> tuple[str, ...]:
        return kept(self.clipping)


def kept(clipping: Clipping) -> tuple[str, ...]:
    """The numbers that are kept with the model; 0.0 at first."""
    return (SCALAR,) if clipping.adaptation else ()


@dataclass(frozen=True, slots=True)
class Released:
    """What a round did. clip: of its updates; next_clip: of the next round's. within: the noised share of norms within
    the clip, None where it is fixed. deviation: of the noise on each coordinate of the mean."""

    clip: float
    next_clip: float
    within: float | None
    deviation: float


@dataclass(frozen=True, slots=True)
class NoisedMean:
    """factors: (n,) float64, by what each update is multiplied."""

    factors: Array
    noise: Source
    released: Released

    def block(self, raw: Block, start: int) -> Block:
        """The block as strategies see it: one update, the noised mean. start: of its run within the tensor."""
        mean = weighted_sum(raw.deltas, self.factors)
        mean += self.released.deviation * self.noise.of_tensor(raw.tensor, start, len(mean))
        return Block(raw.tensor, raw.base, mean[np.newaxis], raw.slots)


def noised_mean(private: Private, squares: Sequence[float] | Array, kept_clip: float) -> NoisedMean:
    """squares: of each update's L2 norm, over all tensors that are trained. kept_clip: 0.0 in the first round.

    Without noise, leaving one client's update out of the sum moves it by at most the clip.
    """
    clipping, norms = private.clipping, np.sqrt(np.asarray(squares, np.float64))
    clip = kept_clip or clipping.clip
    divisor = private.expected or float(len(norms))
    next_clip, within = clip, None
    if (adaptation := clipping.adaptation) is not None:
        count_noise = deviation_of_count(clipping.noise_multiplier, divisor)
        within = noised_share(norms <= clip, count_noise * private.noise.of_count(), divisor)
        next_clip = adapted(clip, within, adaptation)
    factors = clip_factors(norms, clip) / divisor
    return NoisedMean(factors, private.noise, Released(clip, next_clip, within, deviation(clipping, clip, divisor)))


def deviation(clipping: Clipping, clip: float, divisor: float) -> float:
    """Of the noise on each coordinate of the mean. Beside the count of an adaptive clip it is a little larger."""
    multiplier = clipping.noise_multiplier
    if clipping.adaptation:
        multiplier = multiplier_of_updates(multiplier, deviation_of_count(multiplier, divisor))
    return multiplier * clip / divisor


def clip_factors(norms: Array, clip: float) -> Array:
    """min(1, clip / norm), (n,) float64."""
    with np.errstate(all="ignore"):
        return np.where(norms > clip, clip / norms, 1.0)


def deviation_of_count(noise_multiplier: float, divisor: float) -> float:
    """Of the noise on the number of updates within the clip: a twentieth of the clients, as in the paper.

    Where that is little beside the noise multiplier, it is the latter: then the updates' noise grows by 15 %.
    """
    return max(divisor * COUNT_NOISE, noise_multiplier)


def multiplier_of_updates(noise_multiplier: float, count_noise: float) -> float:
    """z_delta = (z^-2 - (2 sigma_b)^-2)^-1/2: theorem 1. With the noised count it costs what z alone would."""
    return noise_multiplier / math.sqrt(1 - (noise_multiplier / (2 * count_noise)) ** 2)


def noised_share(within: Array, noise: float, divisor: float) -> float:
    """Counted from one half, so that leaving one client out moves the sum by 1/2."""
    return 0.5 + (float(np.sum(within - 0.5)) + noise) / divisor


def adapted(clip: float, within: float, adaptation: Adaptation) -> float:
    exponent = -adaptation.rate * (within - adaptation.quantile)
    return min(max(clip * math.exp(min(max(exponent, -50.0), 50.0)), 1 / MOST_CLIP), MOST_CLIP)
