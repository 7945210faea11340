"""A model as a PyTorch `state_dict`, written without PyTorch: what `torch.load(path, weights_only=True)` reads.

The format is that of `torch.save` since 1.6: a zip archive, uncompressed, of one pickle that says how tensors lie in
storages, and a file a storage. The pickle here names nothing but what `weights_only` allows: `OrderedDict`, the
storage types and `torch._utils._rebuild_tensor_v2`. Nothing is ever unpickled on this side.
"""

import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from federation.fl.dtypes import TABLE
from federation.fl.weights import Tensor, read_header

CHUNK = 1 << 20
EMPTY, MARK, TUPLE, REDUCE = b")", b"(", b"t", b"R"  # pickle's opcodes, protocol 2


def write(weights: Path, out: Path) -> None:
    """Write a safetensors file's tensors as a state_dict. One chunk is in memory at a time. Raises WeightsError."""
    header = read_header(weights)
    with weights.open("rb") as source, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        _put(archive, "data.pkl", b"".join(_pickle(header.tensors)))
        _put(archive, "byteorder", b"little")
        for number, tensor in enumerate(header.tensors.values()):
            source.seek(tensor.offset)
            with archive.open(_entry(f"data/{number}"), "w", force_zip64=True) as target:
                _copy(source, target, tensor.num_bytes)
        _put(archive, "version", b"3\n")


def _entry(name: str) -> zipfile.ZipInfo:
    """With the same date always, so that the same model is the same file."""
    return zipfile.ZipInfo(f"model/{name}", date_time=(1980, 1, 1, 0, 0, 0))


def _put(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    archive.writestr(_entry(name), content)


def _copy(source: IO[bytes], target: IO[bytes], num_bytes: int) -> None:
    while num_bytes:
        chunk = source.read(min(CHUNK, num_bytes))
        target.write(chunk)
        num_bytes -= len(chunk)


def _pickle(tensors: dict[str, Tensor]) -> Iterator[bytes]:
    yield b"\x80\x02" + _global("collections", "OrderedDict") + EMPTY + REDUCE + MARK
    for number, (name, tensor) in enumerate(tensors.items()):
        yield _text(name) + _tensor(number, tensor)
    yield b"u."


def _tensor(number: int, tensor: Tensor) -> bytes:
    """_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks)."""
    storage = _text("storage") + _global("torch", TABLE[tensor.dtype].storage) + _text(str(number)) + _text("cpu")
    reference = MARK + storage + _whole(tensor.size) + TUPLE + b"Q"
    strides, stride = [], 1
    for length in reversed(tensor.shape):
        strides.append(stride)
        stride *= max(1, length)
    sizes = MARK + b"".join(map(_whole, tensor.shape)) + TUPLE + MARK + b"".join(map(_whole, reversed(strides))) + TUPLE
    hooks = _global("collections", "OrderedDict") + EMPTY + REDUCE
    call = MARK + reference + _whole(0) + sizes + b"\x89" + hooks + TUPLE + REDUCE
    return _global("torch._utils", "_rebuild_tensor_v2") + call


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _text(text: str) -> bytes:
    encoded = text.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def _whole(number: int) -> bytes:
    """LONG1: a length in bytes, then the number in little-endian two's complement."""
    encoded = number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(encoded)]) + encoded
