"""Weight files side by side, read and written block by block, so that none is ever whole in memory."""

import hashlib
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from federation.fl import weights
from federation.fl.weights import DTYPES, FLOATS, Array, Header, Layout, WeightsError, shown

resource: Any = None
with suppress(ImportError):  # as on Windows
    resource = import_module("resource")

BLOCK = 64 * 1024  # coordinates: with fewer the threads wait for the interpreter, with more for the memory
MAX_COORDINATES = 10 * BLOCK  # of all rows of one block together
UNKNOWN_LIMIT, UNKNOWN_OPEN = 512, 256  # where the system does not tell
SHARE = 2  # of the files that the process may still open, one in so many: other rounds and all callers need the rest
HASH_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Span:
    """Coordinates start to stop of one tensor, the index-th of its layout."""

    name: str
    index: int
    dtype: str
    start: int
    stop: int


def layout(header: Header) -> Layout:
    """A model's tensors in the order in which they are read and written."""
    names = weights.file_order({name: tensor.dtype for name, tensor in header.tensors.items()})
    return {name: (header.tensors[name].dtype, header.tensors[name].shape) for name in names}


def floats(tensors: Layout) -> Layout:
    """The float tensors of a layout."""
    return {name: (dtype, shape) for name, (dtype, shape) in tensors.items() if dtype in FLOATS}


def slot_layout(slots: Sequence[str], tensors: Layout) -> Layout:
    """An optimizer's slots: float64, "<slot>/<tensor>" for each float tensor."""
    return {f"{slot}/{name}": ("F64", shape) for slot in slots for name, (_, shape) in floats(tensors).items()}


def spans(tensors: Layout, rows: int) -> Iterator[Span]:
    """All blocks of a layout. Their size depends on it and on the number of rows alone."""
    length = max(1, min(BLOCK, MAX_COORDINATES // max(1, rows)))
    for index, (name, (dtype, shape)) in enumerate(tensors.items()):
        size = math.prod(shape)
        for start in range(0, size, length):
            yield Span(name, index, dtype, start, min(start + length, size))


def most_open() -> int:
    """How many files may be held open here at a time, by the limit of this process and what it has open."""
    if resource is None:
        return UNKNOWN_LIMIT // SHARE
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit == resource.RLIM_INFINITY:
        return sys.maxsize
    return max(0, int(limit) - _num_open()) // SHARE


def _num_open() -> int:
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return UNKNOWN_OPEN


class Files:
    """Several files open for reading, at any offset, by several threads, each with a buffer of its own.

    Those beyond what the process may hold open are opened for each read.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._own = threading.local()
        self._stack = ExitStack()
        self._files: list[int] = []

    def __enter__(self) -> Self:
        held = self._paths[: most_open()]
        with ExitStack() as stack:
            self._files = [stack.enter_context(path.open("rb", buffering=0)).fileno() for path in held]
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def buffer(self, size: int, use: str = "block") -> Array:
        """Bytes of this thread's own, which its next buffer for the same use overwrites."""
        kept: Array = getattr(self._own, use, np.empty(0, np.uint8))
        if len(kept) < size:
            kept = np.empty(size, np.uint8)
            setattr(self._own, use, kept)
        return kept[:size]

    def fill(self, row: int, buffer: Array, offset: int) -> None:
        """Fill the buffer from a file's bytes at ``offset``."""
        if row < len(self._files):
            _read(self._files[row], buffer, offset)
        else:
            with self._paths[row].open("rb", buffering=0) as file:
                _read(file.fileno(), buffer, offset)


class Reader(Files):
    """Reads the same block of several files as rows of one array, which each thread uses again for its next."""

    def __init__(self, rows: Sequence[tuple[Path, str]], tensors: Layout) -> None:
        """rows: (file, prefix): the row holds the file's tensors named prefix + name.

        Raises WeightsError if one is missing or has another dtype or shape.
        """
        super().__init__([path for path, _ in rows])
        self._columns = {name: column for column, name in enumerate(tensors)}
        self._dtypes = [DTYPES[dtype] for dtype, _ in tensors.values()]
        # Nothing but offsets is kept: thousands of parsed headers would fill the memory.
        self._offsets = np.array([_offsets(path, prefix, tensors) for path, prefix in rows], np.int64)

    def read(self, span: Span) -> Array:
        """(rows, stop - start) as stored; the same thread's next read overwrites it."""
        column = self._columns[span.name]
        dtype = self._dtypes[column]
        row_bytes = (span.stop - span.start) * dtype.itemsize
        block = self.buffer(len(self._offsets) * row_bytes).reshape(-1, row_bytes)
        for row, offset in enumerate(self._offsets[:, column].tolist()):
            self.fill(row, block[row], offset + span.start * dtype.itemsize)
        return block.view(dtype)


class Writer:
    """A weights file that is filled block by block: what comes in the file's order is hashed on the way."""

    def __init__(self, path: Path, tensors: Layout, metadata: Mapping[str, str] | None = None) -> None:
        header = weights.header_bytes(tensors, metadata)
        size = sum(math.prod(shape) * DTYPES[dtype].itemsize for dtype, shape in tensors.values())
        self._file = path.open("w+b", buffering=0)
        self._file.write(header)
        self._file.truncate(len(header) + size)
        self.num_bytes = len(header) + size
        self._tensors = weights.read_header(path).tensors
        self._sha, self._hashed = hashlib.sha256(header), len(header)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, name: str, start: int, stored: Array) -> None:
        """Put values, of the tensor's stored type, at coordinate ``start`` of a tensor."""
        offset = self._tensors[name].offset + start * stored.itemsize
        data = stored.view(np.uint8).data
        if offset == self._hashed:
            self._hash(data)
        while data:
            count = os.pwrite(self._file.fileno(), data, offset)
            data, offset = data[count:], offset + count

    def digest(self, on_block: Callable[[], None]) -> str:
        """SHA-256 of the finished file. What did not come in order is read again; on_block between reads."""
        buffer = np.empty(HASH_BYTES, np.uint8)
        self._file.seek(self._hashed)
        while count := self._file.readinto(buffer.data):
            self._hash(buffer[:count].data)
            on_block()
        return self._sha.hexdigest()

    def _hash(self, data: memoryview) -> None:
        self._sha.update(data)
        self._hashed += len(data)


def _offsets(path: Path, prefix: str, tensors: Layout) -> list[int]:
    given = weights.read_header(path).tensors
    for name, (dtype, shape) in tensors.items():
        tensor = given.get(prefix + name)
        if tensor is None or (tensor.dtype, tensor.shape) != (dtype, shape):
            raise WeightsError(
                f"{path.name} does not hold {shown(prefix + name)} with dtype {dtype} and shape {shape}."
            )
    return [given[prefix + name].offset for name in tensors]


def _read(file: int, buffer: Array, offset: int) -> None:
    """Fill the buffer from a file's bytes at ``offset``."""
    filled = 0
    while filled < len(buffer):
        count = os.preadv(file, [buffer[filled:].data], offset + filled)
        if count == 0:
            raise WeightsError("A weights file was cut off while it was read.")
        filled += count
