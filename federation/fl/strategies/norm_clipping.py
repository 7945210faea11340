"""Norm clipping: Sun et al. 2019, "Can You Really Backdoor Federated Learning?" (arXiv:1911.07963)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from federation.fl.options import Option
from federation.fl.strategies.robust import BEFORE, LIARS, ByDistances
from federation.fl.weights import Array


@dataclass(frozen=True, slots=True)
class NormClipping(ByDistances):
    """Section 4, "norm thresholding": w + (1 / n) sum_k delta_k min(1, M / |delta_k|), without noise.

    M is the median of the norms if it is not given. Every client counts the same. It bounds how far f liars pull, by
    f M / n, and not in which direction. Buffers: the median. Cost: two readings of the files, n (n + 1) / 2 products a
    coordinate.
    """

    radius: float | None = None

    name: ClassVar[str] = "norm_clipping"
    title: ClassVar[str] = "Norm clipping"
    summary: ClassVar[str] = "Equal mean of the updates, long ones shortened."
    when: ClassVar[str] = "Choose it against single updates that are far too large; it costs an honest session little."
    options: ClassVar[tuple[Option, ...]] = (
        LIARS,
        Option(
            "radius", float, None, 0, 1e9, exclusive_minimum=True, empty="the median of their norms",
            help="The longest update that counts in full, M.",
        ),
        *BEFORE,
    )  # fmt: skip

    def weights(self, products: Array) -> Array:
        norms = np.sqrt(np.diagonal(products))
        return shortened(norms, self.radius) / len(norms)


def shortened(lengths: Array, radius: float | None) -> Array:
    """min(1, radius / length) for each length, (n,); without a radius it is their median, the lower of two."""
    limit = float(np.sort(lengths)[(len(lengths) - 1) // 2]) if radius is None else radius
    with np.errstate(all="ignore"):
        return np.where(lengths > limit, limit / lengths, 1.0)
