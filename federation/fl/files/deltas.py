"""Updates side by side, plain and encoded ones together, decoded block by block."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from federation.fl import compression, weights
from federation.fl.encodings import INDICES, PLAIN, SCALE, VALUES
from federation.fl.files.streams import Files, Span
from federation.fl.weights import DTYPES, FLOATS, Array, Header, Layout, Tensor, WeightsError, shown

DENSE, SCALED, SPARSE = range(3)
WORDS = tuple(DTYPES)
WINDOW = 4096  # indices that a bisection leaves to be searched at once
# Where a tensor's parts lie in a file. dtype, index_dtype: places in WORDS; count: of a sparse tensor's values.
CELL = np.dtype(
    [
        ("kind", "i1"),
        ("dtype", "i1"),
        ("values", "i8"),
        ("scale", "f4"),
        ("indices", "i8"),
        ("index_dtype", "i1"),
        ("count", "i8"),
    ]
)
Cell = tuple[int, int, int, float, int, int, int]


class DeltaReader(Files):
    """Reads the same block of several updates as rows of one array, which each thread uses again for its next."""

    def __init__(self, paths: Sequence[Path], tensors: Layout) -> None:
        """Raises WeightsError for a file that does not hold the tensors in a way that is known."""
        super().__init__(paths)
        self._columns = {name: column for column, name in enumerate(tensors)}
        # Nothing but offsets is kept: thousands of parsed headers would fill the memory.
        self._cells = np.array([_cells(path, tensors) for path in paths], CELL)

    def read(self, span: Span) -> Array:
        """(rows, stop - start): integers as stored, floats as float64 for F64 and else as float32.

        The same thread's next read overwrites it.
        """
        dtype = np.dtype(np.float32) if span.dtype in ("F16", "BF16") else DTYPES[span.dtype]
        row_bytes = (span.stop - span.start) * dtype.itemsize
        block = self.buffer(len(self._cells) * row_bytes).reshape(-1, row_bytes).view(dtype)
        for row, cell in enumerate(self._cells[:, self._columns[span.name]].tolist()):
            self._decode(row, cell, span, block[row])
        return block

    def _decode(self, row: int, cell: Cell, span: Span, out: Array) -> None:
        kind, dtype, values, scale, _, _, _ = cell
        stored = DTYPES[WORDS[dtype]]
        if kind == SPARSE:
            self._scatter(row, cell, span, out)
        elif kind == SCALED:
            q = self._part(row, stored, values, span.start, span.stop)
            out[:] = compression.dequantize(q, np.float32(scale))
        elif stored == out.dtype:
            self.fill(row, out.view(np.uint8), values + span.start * stored.itemsize)
        else:
            out[:] = weights.widen(self._part(row, stored, values, span.start, span.stop), WORDS[dtype])

    def _scatter(self, row: int, cell: Cell, span: Span, out: Array) -> None:
        """Zeros, but for the values whose indices lie in the span."""
        _, dtype, values, _, offset, index_dtype, count = cell
        stored = DTYPES[WORDS[index_dtype]]
        low = self._place(row, stored, offset, count, span.start)
        indices = self._part(row, stored, offset, low, min(count, low + span.stop - span.start), use="indices")
        indices = indices[: np.searchsorted(indices, span.stop)] - span.start
        if len(indices) and not (indices[0] >= 0 and indices[-1] < len(out) and (indices[1:] > indices[:-1]).all()):
            raise WeightsError(f"The indices of {shown(span.name)} are not in ascending order.")
        out[:] = 0
        out[indices] = self._part(row, DTYPES[WORDS[dtype]], values, low, low + len(indices))

    def _place(self, row: int, stored: np.dtype[np.signedinteger], offset: int, count: int, coordinate: int) -> int:
        """How many indices are below a coordinate: a bisection over the file, down to a window that is searched."""
        low, high = 0, count
        while high - low > WINDOW:
            middle = (low + high) // 2
            if self._part(row, stored, offset, middle, middle + 1)[0] < coordinate:
                low = middle + 1
            else:
                high = middle
        return low + int(np.searchsorted(self._part(row, stored, offset, low, high), coordinate))

    def _part(
        self, row: int, stored: np.dtype[np.generic], offset: int, start: int, stop: int, use: str = "part"
    ) -> Array:
        """Elements start to stop of a stored array that begins at ``offset``."""
        buffer = self.buffer((stop - start) * stored.itemsize, use)
        self.fill(row, buffer, offset + start * stored.itemsize)
        return buffer.view(stored)


def _cells(path: Path, tensors: Layout) -> list[Cell]:
    header = weights.read_header(path)
    if header.metadata.get("encoding", PLAIN) == PLAIN:
        return [_dense(path, header, name, name, dtype, shape) for name, (dtype, shape) in tensors.items()]
    return [_cell(path, header, name, dtype, shape) for name, (dtype, shape) in tensors.items()]


def _cell(path: Path, header: Header, name: str, dtype: str, shape: tuple[int, ...]) -> Cell:
    given = header.tensors
    values, scale, indices = given.get(VALUES + name), given.get(SCALE + name), given.get(INDICES + name)
    if dtype in FLOATS and values and scale and _is(values, "I8", shape) and _is(scale, "F32", ()):
        return (SCALED, WORDS.index("I8"), values.offset, _scalar(path, scale.offset), 0, 0, 0)
    if dtype in FLOATS and values and indices and values.dtype == "F32" and values.shape == indices.shape:
        index = WORDS.index(indices.dtype)
        return (SPARSE, WORDS.index("F32"), values.offset, 0.0, indices.offset, index, values.size)
    rounded = values and values.dtype == "F16" and dtype in ("F64", "F32")
    return _dense(path, header, VALUES + name, name, "F16" if rounded else dtype, shape)


def _dense(path: Path, header: Header, stored: str, name: str, dtype: str, shape: tuple[int, ...]) -> Cell:
    tensor = header.tensors.get(stored)
    if tensor is None or not _is(tensor, dtype, shape):
        raise WeightsError(f"{path.name} does not hold {shown(name)} with dtype {dtype} and shape {shape}.")
    return (DENSE, WORDS.index(dtype), tensor.offset, 0.0, 0, 0, 0)


def _is(tensor: Tensor, dtype: str, shape: tuple[int, ...]) -> bool:
    return (tensor.dtype, tensor.shape) == (dtype, shape)


def _scalar(path: Path, offset: int) -> float:
    return float(np.fromfile(path, "<f4", 1, offset=offset)[0])
