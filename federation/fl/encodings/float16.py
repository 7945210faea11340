"""Half precision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from federation.fl import compression
from federation.fl.compression import blocks
from federation.fl.encodings.encoding import VALUES, Encoding, Pieces
from federation.fl.weights import Array, Layout


@dataclass(frozen=True, slots=True)
class Float16(Encoding):
    """Rounded to float16, saturating at 65504."""

    name: ClassVar[str] = "float16"
    title: ClassVar[str] = "Half precision (float16)"
    summary: ClassVar[str] = "Half the bytes: each value is rounded to three digits."
    dtypes: ClassVar[tuple[str, ...]] = ("F64", "F32")

    def parts(self, name: str, shape: tuple[int, ...]) -> Layout:
        return {VALUES + name: ("F16", shape)}

    def pieces(self, name: str, values: Array, rng: np.random.Generator) -> Pieces:
        for part in blocks(len(values)):
            yield VALUES + name, part.start, compression.to_float16(values[part])
