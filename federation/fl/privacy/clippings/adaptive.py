"""A clip that follows a quantile of the norms: Andrew et al. 2021 (arXiv:1905.03871)."""

from dataclasses import dataclass, replace
from typing import ClassVar

from federation.fl.options import Option
from federation.fl.privacy.clippings.clipping import BUDGET, CLIP, DELTA, NOISE, Adaptation, Clipping

QUANTILE, CLIP_RATE = 0.5, 0.2  # those of the paper's experiments


@dataclass(frozen=True, slots=True)
class AdaptiveClip(Clipping):
    """Algorithm 1: the clip C becomes C * exp(-rate * (b - quantile)), b the noised share of norms within C.

    The noise on that share is part of the noise multiplier, so that the accountant sees one Gaussian mechanism.
    """

    noise_multiplier: float = NOISE.default
    clip: float = CLIP.default
    quantile: float = QUANTILE
    clip_rate: float = CLIP_RATE
    delta: float = DELTA.default
    budget: float | None = BUDGET.default

    name: ClassVar[str] = "adaptive"
    title: ClassVar[str] = "Noise, adaptive clip"
    summary: ClassVar[str] = "The clip follows the norms of the updates. A little of the noise pays for that."
    options: ClassVar[tuple[Option, ...]] = (
        NOISE,
        replace(CLIP, label="First clip", help="It is raised or lowered after each round."),
        Option(
            "quantile", float, QUANTILE, minimum=0.01, maximum=0.99,
            help="The share of updates that shall count in full. 0.5 makes the clip the median norm.",
        ),
        Option(
            "clip_rate", float, CLIP_RATE, minimum=0.0, exclusive_minimum=True, maximum=10.0,
            label="Learning rate of the clip",
            help="How fast it follows: with the quantile 0.5, 0.2 changes it by about a tenth a round.",
        ),
        DELTA,
        BUDGET,
    )  # fmt: skip

    @property
    def adaptation(self) -> Adaptation | None:
        return Adaptation(self.quantile, self.clip_rate)
