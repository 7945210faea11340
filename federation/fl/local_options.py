"""What a client does at each step of its training, beside the optimizer: options that every torch workload follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Self

from federation.fl.options import Option, check


class Precision(StrEnum):
    FULL = "float32"
    MIXED = "bfloat16"  # autocast, on a GPU


class ClassWeights(StrEnum):
    NONE = "none"
    BALANCED = "balanced"  # by the client's own training examples


OPTIONS = (
    Option(
        "max_steps", int, None, minimum=1, maximum=100_000_000, empty="as many as the epochs have",
        label="Most steps", help="A client's round ends after so many batches. Empty: after its epochs.",
    ),
    Option(
        "clip_norm", float, None, minimum=0.0, exclusive_minimum=True, maximum=1e9, empty="not clipped",
        label="Clip gradients at", help="A gradient with a larger L2 norm is scaled down to it. Empty: never.",
    ),
    Option(
        "accumulate", int, 1, minimum=1, maximum=100_000, label="Batches for a step",
        help="Gradients of so many batches are averaged before each step. Needs less memory than a larger batch.",
    ),
    Option(
        "label_smoothing", float, 0.0, minimum=0.0, maximum=0.999,
        help="The part of each label that is spread over all classes. For workloads with classes.",
    ),
    Option(
        "class_weights", str, ClassWeights.NONE.value, choices=tuple(one.value for one in ClassWeights),
        help="Balanced: at each client rare classes count for as much as frequent ones.",
    ),
    Option(
        "proximal_mu", float, 0.0, minimum=0.0, maximum=1e6, label="Proximal term (FedProx)",
        help="Holds clients near the model that they received. Useful where their data differ. Try 0.01 to 1.",
    ),
    Option(
        "precision", str, Precision.FULL.value, choices=tuple(one.value for one in Precision),
        help="bfloat16 trains in mixed precision on a GPU. On a CPU it is float32 all the same.",
    ),
    Option(
        "compile", bool, False, label="Compile the network",
        help="With torch.compile, on a GPU. It takes a while at first and can double the speed.",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """They are read from a session's settings or a work's config. clip_norm: L2, over all parameters.

    proximal_mu: of the term mu / 2 ||w - base||^2 (FedProx, Li et al. 2020, arXiv:1812.06127, equation 2).
    """

    max_steps: int | None = None
    clip_norm: float | None = None
    accumulate: int = 1
    label_smoothing: float = 0.0
    class_weights: str = ClassWeights.NONE.value
    proximal_mu: float = 0.0
    precision: str = Precision.FULL.value
    compile: bool = False

    @classmethod
    def read(cls, given: Mapping[str, Any]) -> Self:
        """Raises OptionError for an unknown name or a value that is not allowed."""
        return cls(**check(given, OPTIONS, "training"))

    def said(self) -> dict[str, Any]:
        """What differs from the defaults."""
        return {one.name: value for one in fields(self) if (value := getattr(self, one.name)) != one.default}


def is_usual(given: Mapping[str, Any]) -> bool:
    """Whether everything in it has its default."""
    return not LocalOptions.read(given).said()
