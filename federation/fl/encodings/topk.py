"""The largest values only."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from federation.fl import compression, weights
from federation.fl.encodings.encoding import INDICES, VALUES, Encoding, Pieces
from federation.fl.options import Option
from federation.fl.weights import FLOATS, Array, Layout


@dataclass(frozen=True, slots=True)
class TopK(Encoding):
    """The values of each tensor that are largest by magnitude (Aji and Heafield 2017, arXiv:1704.05021)."""

    fraction: float = 0.1

    name: ClassVar[str] = "topk"
    title: ClassVar[str] = "Largest values only (top-k)"
    summary: ClassVar[str] = "The largest changes of each tensor: the others are kept until they are among them."
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "fraction", float, 0.1, minimum=0.0, exclusive_minimum=True, maximum=1.0,
            help="The part of the values that is sent, at 8 bytes each.",
        ),
    )  # fmt: skip
    dtypes: ClassVar[tuple[str, ...]] = FLOATS
    feedback: ClassVar[bool] = True
    sparse: ClassVar[bool] = True

    def parts(self, name: str, shape: tuple[int, ...]) -> Layout:
        size = math.prod(shape)
        count = compression.top_count(size, self.fraction)
        return {INDICES + name: (_index_dtype(size), (count,)), VALUES + name: ("F32", (count,))}

    def pieces(self, name: str, values: Array, rng: np.random.Generator) -> Pieces:
        start, dtype = 0, weights.DTYPES[_index_dtype(len(values))]
        for indices, taken in compression.take_top(values, compression.top_count(len(values), self.fraction)):
            yield INDICES + name, start, indices.astype(dtype)
            yield VALUES + name, start, taken
            start += len(indices)

    def most_bytes(self, model_bytes: int) -> int:
        """A value that is sent has at most 12 bytes, one of the model at least 2."""
        return max(model_bytes, math.ceil(6 * self.fraction * model_bytes))


def _index_dtype(size: int) -> str:
    return "I32" if size <= 2**31 - 1 else "I64"
