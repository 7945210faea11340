"""Data whose held-out part is decided by a mark of each example, such as its group's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, fields, replace
from typing import Self

import numpy as np

from federation.fl.weights import Array
from federation.fl.workloads.workload import Data


@dataclass(frozen=True)
class Marked(Data):
    """marks: (n,) numbers from 0 to 1. Equal ones are held out together.

    notes: what is odd about the data and no reason to refuse them, in sentences for the site's owner.
    """

    marks: Array = field(default_factory=lambda: np.empty(0))
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def ranks(self) -> Array:
        return self.marks

    def subset(self, indices: Array) -> Self:
        each = [one.name for one in fields(self) if one.name not in ("label_names", "notes")]
        return replace(self, **{name: getattr(self, name)[indices] for name in each})


def mark(text: str) -> float:
    """A number from 0 to below 1 that a text always has."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48
