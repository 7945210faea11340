"""What an encoding is, and the one that encodes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from federation.fl.options import Option
from federation.fl.weights import Array, Layout

PLAIN = "float32"  # what the contract calls an update that is not encoded


VALUES, SCALE, INDICES = "values/", "scale/", "indices/"


Pieces = Iterator[tuple[str, int, Array]]  # (part, first coordinate, what is stored from there on)


@dataclass(frozen=True, slots=True)
class Encoding:
    """No encoding, and what the others are made of.

    dtypes: of the tensors that it encodes; others travel as they are. feedback: what could not be said is kept and
    added to the next update. sparse: the parts of a tensor may be shorter than `parts` says.
    """

    name: ClassVar[str] = "none"
    title: ClassVar[str] = "None"
    summary: ClassVar[str] = "Updates travel in full."
    options: ClassVar[tuple[Option, ...]] = ()
    dtypes: ClassVar[tuple[str, ...]] = ()
    feedback: ClassVar[bool] = False
    sparse: ClassVar[bool] = False

    def parts(self, name: str, shape: tuple[int, ...]) -> Layout:
        """The tensors that stand for one of the model's, of one of its dtypes."""
        return {VALUES + name: ("F32", shape)}

    def pieces(self, name: str, values: Array, rng: np.random.Generator) -> Pieces:
        """Encode a flat float32 array. With feedback the residual is left in it."""
        yield VALUES + name, 0, values

    def most_bytes(self, model_bytes: int) -> int:
        """As many as an update's tensors can have at most, for a model of model_bytes."""
        return model_bytes

    def layout(self, tensors: Layout, dense: Collection[str] = ()) -> Layout:
        """What an encoded update of a model holds. dense: tensors that travel as they are."""
        return {
            part: spec
            for name, (dtype, shape) in tensors.items()
            for part, spec in (
                self.parts(name, shape)
                if dtype in self.dtypes and name not in dense
                else {VALUES + name: (dtype, shape)}
            ).items()
        }
