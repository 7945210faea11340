"""Eight bits a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from federation.fl import compression
from federation.fl.encodings.encoding import SCALE, VALUES, Encoding, Pieces
from federation.fl.weights import FLOATS, Array, Layout


@dataclass(frozen=True, slots=True)
class Int8(Encoding):
    """One scale a tensor and steps from -127 to 127, rounded at random so that they are right on average."""

    name: ClassVar[str] = "int8"
    title: ClassVar[str] = "8-bit integers (int8)"
    summary: ClassVar[str] = "A quarter of the bytes: what rounding loses is kept and sent with the next update."
    dtypes: ClassVar[tuple[str, ...]] = FLOATS
    feedback: ClassVar[bool] = True

    def parts(self, name: str, shape: tuple[int, ...]) -> Layout:
        return {VALUES + name: ("I8", shape), SCALE + name: ("F32", ())}

    def pieces(self, name: str, values: Array, rng: np.random.Generator) -> Pieces:
        scale, start = compression.int8_scale(values), 0
        yield SCALE + name, 0, np.array([scale], np.float32)
        for q in compression.quantize(values, scale, rng):
            yield VALUES + name, start, q
            start += len(q)
