"""Named arrays in the safetensors file format, read and written so that the same weights are always the same bytes.

A file is 8 bytes of header length (little-endian), a JSON header, and the tensors' bytes without
gaps (https://github.com/huggingface/safetensors#format). Headers are written here and not by the
library, which puts several metadata keys in random order: here keys are sorted, the JSON is compact
and padded with spaces to 8 bytes. Tensors lie in the file by descending element size and then by
name, as the library lays them out, so that every tensor is aligned. No pickle anywhere.

The types are those of `fl.dtypes`. BF16 is held as its bits, in uint16.
"""

import hashlib
import json
import math
import mmap
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from federation.fl.dtypes import TABLE

Array = npt.NDArray[Any]
Weights = dict[str, Array]
Layout = dict[str, tuple[str, tuple[int, ...]]]  # dtype and shape by name, in file order

DTYPES: Mapping[str, "np.dtype[Any]"] = {word: dtype.stored for word, dtype in TABLE.items()}
LARGEST = {word: dtype.largest for word, dtype in TABLE.items() if dtype.largest is not None}  # finite value
FLOATS = tuple(LARGEST)
MAX_HEADER_BYTES = 16 * 2**20
MAX_DIMENSIONS = 32
FINITE_BLOCK = 2**16  # coordinates: what numpy notes of them stays in the cache
MAX_TENSOR_BYTES = 2**60  # more than any file; keeps products of sizes far from numpy's limits


class WeightsError(ValueError):
    """These are not weights that can be used. str(error) is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where one tensor lies. offset: of its first byte, from the start of the file."""

    dtype: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def num_bytes(self) -> int:
        return self.size * DTYPES[self.dtype].itemsize


@dataclass(frozen=True, slots=True)
class Header:
    """What a file holds. tensors are sorted by name; num_bytes is the size of the whole file."""

    tensors: dict[str, Tensor]
    metadata: dict[str, str]
    num_bytes: int


def read_header(path: Path, *, max_header_bytes: int = MAX_HEADER_BYTES) -> Header:
    """Read and check a file's header, without its tensors.

    The tensors must cover the rest of the file exactly, without gap or overlap. max_header_bytes
    bounds what parsing may cost. Raises WeightsError for whatever the file's content is; OSError
    if it cannot be read.
    """
    with path.open("rb") as file:
        num_bytes = os.fstat(file.fileno()).st_size
        text, start = _header_text(file, num_bytes, max_header_bytes)
    members = _members(text)
    metadata = _metadata(members.pop("__metadata__", {}))
    tensors = {name: _tensor(name, members[name], start) for name in sorted(members)}
    _check_cover(tensors, start, num_bytes)
    return Header(tensors, metadata, num_bytes)


def header_bytes(
    tensors: Mapping[str, tuple[str, tuple[int, ...]]], metadata: Mapping[str, str] | None = None
) -> bytes:
    """All that stands before the tensors' bytes, which must follow in ``file_order``.

    tensors: (dtype, shape) by name. Raises WeightsError for a dtype or name that is not allowed.
    """
    layout: dict[str, Any] = {}
    offset = 0
    for name in file_order({name: dtype for name, (dtype, _) in tensors.items()}):
        dtype, shape = tensors[name]
        end = offset + math.prod(shape) * DTYPES[dtype].itemsize
        layout[name] = {"data_offsets": [offset, end], "dtype": dtype, "shape": list(shape)}
        offset = end
    if metadata:
        layout["__metadata__"] = dict(metadata)
    text = json.dumps(layout, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def file_order(dtypes: Mapping[str, str]) -> list[str]:
    """Names in the order in which their tensors lie in a file that is written here."""
    for name, dtype in dtypes.items():
        if dtype not in DTYPES:
            raise WeightsError(f"{shown(name)} has dtype {shown(dtype)}: allowed are {', '.join(DTYPES)}.")
        if name == "__metadata__" or not _is_text(name):
            raise WeightsError(f"A tensor cannot be named {shown(name)}.")
    return sorted(dtypes, key=lambda name: (-DTYPES[dtypes[name]].itemsize, name))


def dump(weights: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> bytes:
    """The file as bytes. Raises WeightsError for a dtype that is not in DTYPES."""
    return b"".join(bytes(part) for part in _parts(weights, metadata))


def save(path: Path, weights: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> str:
    """Write the file, one tensor at a time, and return its SHA-256 in hex.

    Not atomic: write beside the final place and rename. A file that is there is written over, which
    costs less than new pages do. Raises as ``dump`` does.
    """
    sha = hashlib.sha256()
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o600), "r+b") as file:
        for part in _parts(weights, metadata):
            file.write(part)
            sha.update(part)
        file.truncate()
    return sha.hexdigest()


def load(path: Path) -> Weights:
    """All tensors of a file, each an array of its own, sorted by name. Raises WeightsError."""
    header = read_header(path)
    return {
        name: np.fromfile(path, DTYPES[tensor.dtype], tensor.size, offset=tensor.offset).reshape(tensor.shape)
        for name, tensor in header.tensors.items()
    }


def mapped(path: Path) -> Weights:
    """As ``load``, but what is read of it comes when it is read; what is written stays in memory.

    The file must stay as it is until the arrays are gone; it may be removed or replaced by another.
    """
    header = read_header(path)
    with path.open("rb") as file:
        view = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    arrays = {
        name: np.frombuffer(view, DTYPES[tensor.dtype], tensor.size, tensor.offset).reshape(tensor.shape)
        for name, tensor in header.tensors.items()
    }
    return {name: np.require(array, requirements="A") for name, array in arrays.items()}  # others' files may not align


def dtype_of(name: str, array: Array) -> str:
    """The file format's word for an array's dtype. Raises WeightsError naming the tensor."""
    for word, dtype in DTYPES.items():
        if array.dtype.newbyteorder("<") == dtype:
            return word
    raise WeightsError(f"{shown(name)} has dtype {array.dtype}: allowed are {', '.join(DTYPES)}.")


def widen(stored: Array, dtype: str) -> Array:
    """Stored floats in a type that numpy computes with: F64 and F32 as they are, F16 and BF16 as float32, exactly."""
    if dtype == "BF16":
        return bfloat16_to_float32(stored)
    return stored.astype(np.float32) if dtype == "F16" else stored


def narrow(values: Array, dtype: str) -> Array:
    """float64 values as stored in ``dtype``, rounded once, half to even; too large a value becomes infinite."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return float64_to_bfloat16(values) if dtype == "BF16" else values.astype(DTYPES[dtype])


def difference(name: str, local: Array, base: Array) -> Array:
    """local - base in their own type, rounded once. Integers wrap around, and adding the base wraps back."""
    if dtype_of(name, local) == "BF16":
        return float64_to_bfloat16(bfloat16_to_float32(local).astype(np.float64) - bfloat16_to_float32(base))
    return np.asarray(local - base)


def bfloat16_to_float32(bits: Array) -> Array:
    """bfloat16 bits (uint16) as float32, exactly: they are its upper half."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def float64_to_bfloat16(values: Array) -> Array:
    """The nearest bfloat16 to each value, half to even, as bits (uint16). Takes float32 too.

    Rounding to float32 on the way would round twice. So that step rounds to odd (Boldo and
    Melquiond 2008, "Emulation of FMA and correctly rounded sums", section 3): towards zero,
    with the last bit set if anything was lost, which leaves the second rounding right.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        single = np.asarray(values, np.float32)
        bits = single.view(np.uint32).astype(np.uint32)
        away = np.abs(single) > np.abs(values)
        inexact = single != values
    bits = np.where(inexact, (bits - away) | 1, bits)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16)


def all_finite(stored: Array, dtype: str) -> bool:
    """Whether no stored value is infinite or not a number. Integers always are finite."""
    if dtype not in FLOATS:
        return True
    flat = stored.reshape(-1)
    return all(finite(flat[start : start + FINITE_BLOCK], dtype).all() for start in range(0, flat.size, FINITE_BLOCK))


def finite(stored: Array, dtype: str) -> Array:
    """Which of some stored floats are finite."""
    return (stored & 0x7F80) != 0x7F80 if dtype == "BF16" else np.isfinite(stored)


def shown(name: object) -> str:
    """A name from elsewhere, fit for a sentence: short, and without control characters."""
    text = str(name)
    text = text if len(text) <= 100 else text[:100] + "…"
    return text if text.isprintable() and text else ascii(text)


def _parts(weights: Mapping[str, Array], metadata: Mapping[str, str] | None) -> Iterator[bytes | memoryview]:
    dtypes = {name: dtype_of(name, array) for name, array in weights.items()}
    yield header_bytes({name: (dtypes[name], array.shape) for name, array in weights.items()}, metadata)
    for name in file_order(dtypes):
        yield weights[name].astype(DTYPES[dtypes[name]], copy=False).reshape(-1).view(np.uint8).data


def _header_text(file: BinaryIO, num_bytes: int, max_header_bytes: int) -> tuple[bytes, int]:
    """The header's bytes, and where the tensors' bytes start."""
    prefix = file.read(8)
    if len(prefix) < 8:
        raise WeightsError(f"Not a safetensors file: it has only {num_bytes} bytes.")
    (length,) = struct.unpack("<Q", prefix)
    if length > num_bytes - 8:
        raise WeightsError("Not a safetensors file, or cut off: its header would be longer than the file.")
    if length > max_header_bytes:
        raise WeightsError(f"The safetensors header has {length:,} bytes: {max_header_bytes:,} are allowed.")
    return file.read(length), 8 + length


def _members(text: bytes) -> dict[str, Any]:
    try:
        members = json.loads(text.decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"Not a safetensors file: its header is not JSON ({shown(error)}).") from error
    if not isinstance(members, dict):
        raise WeightsError("Not a safetensors file: its header is not a JSON object.")
    return members


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name stands in it twice")
    return members


def _metadata(given: object) -> dict[str, str]:
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise WeightsError("The safetensors __metadata__ must be an object of strings.")
    return given


def _tensor(name: str, given: object, start: int) -> Tensor:
    if not _is_text(name) or not isinstance(given, dict) or given.keys() != {"dtype", "shape", "data_offsets"}:
        raise WeightsError(f"{shown(name)} must have dtype, shape and data_offsets in the safetensors header.")
    dtype, shape, offsets = given["dtype"], given["shape"], given["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        word = shown(dtype) if isinstance(dtype, str) else "that is not text"
        raise WeightsError(f"{shown(name)} has a dtype {word}: allowed are {', '.join(DTYPES)}.")
    if not _are_sizes(shape) or len(shape) > MAX_DIMENSIONS:
        raise WeightsError(f"{shown(name)} has no usable shape.")
    if math.prod(max(1, length) for length in shape) * DTYPES[dtype].itemsize > MAX_TENSOR_BYTES:
        raise WeightsError(f"{shown(name)} has a shape that is far too large.")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise WeightsError(f"{shown(name)} has no usable data_offsets.")
    tensor = Tensor(dtype, tuple(shape), start + offsets[0])
    if offsets[1] - offsets[0] != tensor.num_bytes:
        raise WeightsError(f"{shown(name)} has data_offsets that don't fit its shape and dtype.")
    return tensor


def _are_sizes(given: object) -> bool:
    return isinstance(given, list) and all(type(value) is int and value >= 0 for value in given)


def _check_cover(tensors: Mapping[str, Tensor], start: int, num_bytes: int) -> None:
    position = start
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].offset, item[1].num_bytes)):
        if tensor.offset != position:
            raise WeightsError(f"{shown(name)} does not begin where the tensor before it ends.")
        position += tensor.num_bytes
    if position != num_bytes:
        raise WeightsError(
            f"The file has {num_bytes:,} bytes, but its tensors end at {position:,}: cut off or too long."
        )


def _is_text(name: str) -> bool:
    """Whether it can be written as UTF-8: JSON escapes may hold halves of a surrogate pair."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
