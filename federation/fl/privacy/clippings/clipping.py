"""What a clipping is asked, and the options that all have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from federation.fl.options import Option

NOISE = Option(
    "noise_multiplier", float, 1.0, minimum=0.01, maximum=1000.0, label="Noise multiplier",
    help="The noise on the sum of the updates, in clips. Twice the noise costs less than half the epsilon.",
)  # fmt: skip
CLIP = Option(
    "clip", float, 1.0, minimum=0.0, exclusive_minimum=True, maximum=1e9, label="Clip",
    help="A longer update is shortened to this L2 norm. The median norm of a session without privacy is a good start.",
)  # fmt: skip
DELTA = Option(
    "delta", float, 1e-5, minimum=1e-12, maximum=0.1, label="Delta",
    help="The probability that the guarantee of epsilon fails. Choose it well below 1 / number of clients.",
)  # fmt: skip
BUDGET = Option(
    "budget", float, None, minimum=0.0, exclusive_minimum=True, maximum=1e6, empty="no limit",
    label="Budget of epsilon", help="The session ends before its epsilon would exceed this.",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Adaptation:
    """How the clip follows the norms: towards their `quantile`, at this learning rate."""

    quantile: float
    rate: float


class Clipping(Protocol):
    """A session's choice. clip: the first one, where it adapts. Clippings inherit what they do not say themselves."""

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    options: ClassVar[tuple[Option, ...]]
    noise_multiplier: float
    clip: float
    delta: float
    budget: float | None

    @property
    def adaptation(self) -> Adaptation | None:
        """None: the clip stays as it is."""
        return None
