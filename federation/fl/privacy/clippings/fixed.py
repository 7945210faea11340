"""A clip that stays: McMahan et al. 2018, "Learning Differentially Private Recurrent Language Models"."""

from dataclasses import dataclass
from typing import ClassVar

from federation.fl.options import Option
from federation.fl.privacy.clippings.clipping import BUDGET, CLIP, DELTA, NOISE, Clipping


@dataclass(frozen=True, slots=True)
class FixedClip(Clipping):
    """DP-FedAvg with flat clipping (arXiv:1710.06963, algorithm 1): (sum_k delta_k min(1, S / |delta_k|) + N) / n."""

    noise_multiplier: float = NOISE.default
    clip: float = CLIP.default
    delta: float = DELTA.default
    budget: float | None = BUDGET.default

    name: ClassVar[str] = "fixed"
    title: ClassVar[str] = "Noise, fixed clip"
    summary: ClassVar[str] = "Updates are clipped to a norm that you choose, and the server adds noise to their mean."
    options: ClassVar[tuple[Option, ...]] = (NOISE, CLIP, DELTA, BUDGET)
