"""Tensors that stay at each site: its own layers of a model whose other layers are everybody's.

FedPer, Arivazhagan et al. 2019 (arXiv:1912.00818): the last layers stay. FedBN, Li et al. 2021 (arXiv:2102.07623): the
layers of batch normalization stay. Patterns such as `fc2.*` say which. What stays is in the stored model as it was in
version 0: with these values a new site begins.

Frozen tensors are not trained at all: everybody has them as in version 0. FFA-LoRA, Sun et al. 2024 (arXiv:2403.12313):
of each adapter B A, A is frozen and B alone travels.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

import numpy as np

from federation.fl import weights
from federation.fl.weights import FLOATS, Array, Header, Weights

UNDERSTOOD, FREEZES = "stays", "frozen"  # among what a client tells that it understands
LONGEST = 200  # characters of a pattern
MOST = 50  # patterns
MOST_SHOWN = 8  # names in a refusal


def matched(names: Iterable[str], globs: Sequence[str]) -> list[str]:
    """The names that fit one of the patterns, sorted. `*` is any text, dots included, and `?` one character.

    Case counts. JAX has names such as ['layer']['kernel'], so a bracket stands for itself.
    """
    plain = [glob.replace("[", "[[]") for glob in globs]
    return sorted(name for name in names if any(fnmatchcase(name, glob) for glob in plain))


def problem(names: Collection[str], globs: Sequence[str], others: Collection[str] = ()) -> str | None:
    """Why a model with these tensors cannot be trained so, as a sentence; None if it can.

    others: tensors that are not trained together anyway, as far as they are known.
    """
    for glob in globs:
        if not matched(names, [glob]):
            return f"{glob!r} fits no tensor of the model, which has {listed(sorted(names))}."
    found = matched(names, globs)
    if globs and not set(names).difference(found, others):
        said, which = ", ".join(repr(glob) for glob in globs), " that is trained" if others else ""
        return f"{said} fit every tensor of the model{which}, {listed(found)}: nothing would be left to train together."
    return None


def listed(names: Sequence[str]) -> str:
    """The first names, and how many there are beside."""
    more = len(names) - MOST_SHOWN
    return ", ".join(names[:MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")


def travelling(header: Header, names: Collection[str]) -> Header:
    """The header without the tensors that stay."""
    if not names:
        return header
    return replace(header, tensors={name: each for name, each in header.tensors.items() if name not in names})


def personal(model: Weights, own: Mapping[str, Array]) -> Weights:
    """The model with the site's own tensors in place of those that were stored."""
    return {name: own.get(name, array) for name, array in model.items()}


def trained(base: Weights, delta: Weights, names: Iterable[str]) -> Weights:
    """base + delta of these tensors in their own dtype, rounded once; integers wrap around as the delta did."""
    return {name: _sum(name, base[name], delta[name]) for name in names}


def _sum(name: str, base: Array, delta: Array) -> Array:
    dtype = weights.dtype_of(name, base)
    if dtype not in FLOATS:
        return np.asarray(base + delta)  # the sum of two 0-d arrays, such as counters, is no array
    wide = np.asarray(weights.widen(base, dtype).astype(np.float64) + weights.widen(delta, dtype))
    return np.asarray(weights.narrow(wide, dtype)).reshape(base.shape)
