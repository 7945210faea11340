"""Writes encoded updates, with what the last one could not say."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from federation.fl import weights
from federation.fl.compression import blocks
from federation.fl.encodings.encoding import VALUES, Encoding
from federation.fl.files.streams import Reader, Span, Writer, floats
from federation.fl.weights import Array, Layout, Weights

ROUNDING = 8  # keeps the stream of random numbers apart from the workload's, which has the same seed


FLOAT32_MAX = np.finfo(np.float32).max


def save(
    path: Path,
    delta: Weights,
    encoding: Encoding,
    *,
    seed: int,
    metadata: Mapping[str, str],
    buffers: Collection[str] = (),
    residual: Path | None = None,
    left: Path | None = None,
) -> tuple[str, str]:
    """Write an encoded update. Returns its SHA-256, and that of the file ``left`` or "" where none is written.

    buffers: the model's statistics, which travel as they are, and of which nothing is kept.
    residual: what the last update could not say, float32 under the tensors' names; it is added first. One that does
    not fit the tensors is passed over. left: where to write what this update cannot say, by encodings with feedback.
    The same arguments give the same bytes. ``delta`` is used up: beside it, memory holds a few blocks and, of tensors
    that are not float32, one tensor.
    """
    tensors = {name: (weights.dtype_of(name, array), array.shape) for name, array in sorted(delta.items())}
    rng = np.random.default_rng((seed, ROUNDING))
    with ExitStack() as stack:
        out = stack.enter_context(
            Writer(path, encoding.layout(tensors, buffers), dict(metadata) | {"encoding": encoding.name})
        )
        kept = {name: ("F32", shape) for name, (_, shape) in floats(tensors).items() if name not in buffers}
        before = _residual(stack, residual, kept)
        after = stack.enter_context(Writer(left, kept)) if left and encoding.feedback else None
        for name, (dtype, _) in tensors.items():
            stored = delta[name].astype(weights.DTYPES[dtype], copy=False).reshape(-1)
            if dtype not in encoding.dtypes or name in buffers:
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
