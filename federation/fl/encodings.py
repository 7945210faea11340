"""How the clients of a session may encode their updates, and the file that they write then.

An update is a difference already, local - base, and that is what is encoded, tensor by tensor, by
way of its float32 value. The file's metadata name the encoding, and its tensors are named
"<part>/<tensor>": values/<t> always, scale/<t> with int8, indices/<t> with topk. Integer tensors
travel as they are, in values/<t>.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from federation.fl import compression, weights
from federation.fl.compression import blocks
from federation.fl.options import Option, OptionError, check
from federation.fl.streams import Layout, Reader, Span, Writer, floats
from federation.fl.weights import FLOATS, Array, Weights

PLAIN = "float32"  # what the contract calls an update that is not encoded
VALUES, SCALE, INDICES = "values/", "scale/", "indices/"
ROUNDING = 8  # keeps the stream of random numbers apart from the workload's, which has the same seed
FLOAT32_MAX = np.finfo(np.float32).max

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

    def layout(self, tensors: Layout) -> Layout:
        """What an encoded update of a model holds."""
        return {
            part: spec
            for name, (dtype, shape) in tensors.items()
            for part, spec in (
                self.parts(name, shape) if dtype in self.dtypes else {VALUES + name: (dtype, shape)}
            ).items()
        }


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


NONE = Encoding()
ENCODINGS: Mapping[str, type[Encoding]] = {encoding.name: encoding for encoding in (Encoding, Float16, Int8, TopK)}


def build(name: str, options: Mapping[str, object]) -> Encoding:
    """The encoding of this name with these options, defaults filled in. Raises OptionError."""
    if name not in ENCODINGS:
        raise OptionError("name", f"There is no compression {name!r}: choose one of {', '.join(ENCODINGS)}.")
    encoding = ENCODINGS[name]
    return encoding(**check(options, encoding.options, f"compression {name}"))


def save(
    path: Path,
    delta: Weights,
    encoding: Encoding,
    *,
    seed: int,
    metadata: Mapping[str, str],
    residual: Path | None = None,
    left: Path | None = None,
) -> tuple[str, str]:
    """Write an encoded update. Returns its SHA-256, and that of the file ``left`` or "" where none is written.

    residual: what the last update could not say, float32 under the tensors' names; it is added first. One that does
    not fit the tensors is passed over. left: where to write what this update cannot say, by encodings with feedback.
    The same arguments give the same bytes. ``delta`` is used up: beside it, memory holds a few blocks and, of tensors
    that are not float32, one tensor.
    """
    tensors = {name: (weights.dtype_of(name, array), array.shape) for name, array in sorted(delta.items())}
    rng = np.random.default_rng((seed, ROUNDING))
    with ExitStack() as stack:
        out = stack.enter_context(Writer(path, encoding.layout(tensors), dict(metadata) | {"encoding": encoding.name}))
        kept = {name: ("F32", shape) for name, (_, shape) in floats(tensors).items()}
        before = _residual(stack, residual, kept)
        after = stack.enter_context(Writer(left, kept)) if left and encoding.feedback else None
        for name, (dtype, _) in tensors.items():
            stored = delta[name].astype(weights.DTYPES[dtype], copy=False).reshape(-1)
            if dtype not in encoding.dtypes:
                out.write(VALUES + name, 0, stored)
                continue
            values = _as_float32(stored, dtype)
            if before is not None:
                _add(before, name, values)
            for part, start, piece in encoding.pieces(name, values, rng):
                out.write(part, start, piece)
            if after is not None:
                after.write(name, 0, values)
        return out.digest(lambda: None), after.digest(lambda: None) if after else ""


def _residual(stack: ExitStack, path: Path | None, tensors: Layout) -> Reader | None:
    try:
        return stack.enter_context(Reader([(path, "")], tensors)) if path else None
    except (weights.WeightsError, OSError):
        return None


def _as_float32(stored: Array, dtype: str) -> Array:
    """Writable; values beyond float32 become its largest."""
    wide = weights.widen(stored, dtype)
    if wide.dtype == np.float64:
        wide = np.clip(wide, -FLOAT32_MAX, FLOAT32_MAX)
    return wide.astype(np.float32, copy=not wide.flags.writeable)


def _add(residual: Reader, name: str, values: Array) -> None:
    for part in blocks(len(values)):
        more = residual.read(Span(name, 0, "F32", part.start, part.stop))[0]
        with np.errstate(over="ignore"):
            np.clip(values[part] + more, -FLOAT32_MAX, FLOAT32_MAX, out=values[part])
