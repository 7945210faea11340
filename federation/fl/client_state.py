"""What some strategies have each client keep between its trainings, and how it bends the client's steps.

A rule turns what is kept into a correction, which is added to every gradient, and what was trained into what is kept
next. Both sides know a rule by numbers in the work's config. Arrays are float64, one for each float tensor that is no
buffer; what is missing is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from federation.fl import weights
from federation.fl.weights import FLOATS, Array, Weights

UNDERSTOOD = "state"  # among what a client tells that it understands


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training made. delta: local - base, in float64. steps: of the optimizer, with this learning rate."""

    delta: Weights
    steps: int
    learning_rate: float


class Rule(Protocol):
    """name: of the number in a work's config that asks for it."""

    name: ClassVar[str]

    def correction(self, own: Weights, sent: Weights) -> Weights:
        """What is added to each gradient. own: what this client kept. sent: the slot that came with the work."""

    def after(self, own: Weights, sent: Weights, trained: Trained) -> Weights:
        """What the client keeps with this update."""


@dataclass(frozen=True, slots=True)
class ControlVariates:
    """Of SCAFFOLD: Karimireddy et al. 2020 (arXiv:1910.06378), algorithm 1, with option II for the client's variate."""

    name: ClassVar[str] = "control_variates"

    def correction(self, own: Weights, sent: Weights) -> Weights:
        """c - c_i."""
        return _each(lambda name: _of(sent, name) - _of(own, name), own.keys() | sent.keys())

    def after(self, own: Weights, sent: Weights, trained: Trained) -> Weights:
        """c_i - c + (x - y_i) / (K * eta_l)."""
        scale = trained.steps * trained.learning_rate
        return _each(lambda name: _of(own, name) - _of(sent, name) - trained.delta[name] / scale, trained.delta)


@dataclass(frozen=True, slots=True)
class LinearTerm:
    """Of FedDyn: Acar et al. 2021 (arXiv:2111.04263). The quadratic term is `proximal_mu`."""

    alpha: float
    name: ClassVar[str] = "feddyn_alpha"

    def correction(self, own: Weights, sent: Weights) -> Weights:
        """-g_k, the gradient of -<g_k, theta>."""
        return _each(lambda name: -own[name], own)

    def after(self, own: Weights, sent: Weights, trained: Trained) -> Weights:
        """g_k - alpha * (theta_k - theta)."""
        return _each(lambda name: _of(own, name) - self.alpha * trained.delta[name], trained.delta)


def rule_of(config: Mapping[str, object]) -> Rule | None:
    """The rule that a work's config asks for."""
    if ControlVariates.name in config:
        return ControlVariates()
    alpha = config.get(LinearTerm.name)
    return LinearTerm(float(alpha)) if isinstance(alpha, int | float) else None


def in_float64(delta: Weights, buffers: Collection[str]) -> Weights:
    """The float tensors that are no buffers."""
    dtypes = {name: weights.dtype_of(name, array) for name, array in delta.items()}
    trained = [name for name, dtype in dtypes.items() if dtype in FLOATS and name not in buffers]
    return {name: weights.widen(delta[name], dtypes[name]).astype(np.float64) for name in trained}


def _each(make: Callable[[str], Array], names: Collection[str]) -> Weights:
    return {name: np.asarray(make(name), np.float64) for name in sorted(names)}


def _of(arrays: Weights, name: str) -> Array:
    return arrays.get(name, np.zeros(()))
