"""Images and labels in IDX files, the form of MNIST and Fashion-MNIST: where they are, and what is in them."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from federation.fl.weights import Array
from federation.fl.workloads.digit_images import Split
from federation.fl.workloads.workload import DataError

PREFIX = {"train": "train", "test": "t10k"}
NAMES = ("{prefix}-images{mark}idx3-ubyte", "{prefix}-labels{mark}idx1-ubyte")
MARKS = ("-", ".")  # between the parts of the files' names
UNSIGNED_BYTES = 0x08


def find(split: Split, folders: Sequence[Path]) -> tuple[Path, Path] | None:
    """The files of images and of labels, in the first folder that has both, unpacked or as .gz."""
    for folder in folders:
        for mark in MARKS:
            both = [_found(folder, name.format(prefix=PREFIX[split], mark=mark)) for name in NAMES]
            if both[0] and both[1]:
                return both[0], both[1]
    return None


def _found(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def read(images: Path, labels: Path) -> tuple[Array, Array]:
    """Images (n, height, width) uint8 and labels (n,) int64. Raises DataError naming the file and what is wrong."""
    found, told = _array(images, 3), _array(labels, 1)
    if len(found) != len(told):
        raise DataError(f"{images} has {len(found)} images, but {labels} has {len(told)} labels.")
    return found, told.astype(np.int64)


def _array(path: Path, dimensions: int) -> Array:
    """The array of a file. Format: two zero bytes, the type, the number of dimensions, each size, then the values."""
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    if content[:4] != bytes((0, 0, UNSIGNED_BYTES, dimensions)):
        raise DataError(f"{path} is no IDX file of bytes with {dimensions} dimensions.")
    sizes = tuple(_sizes(content, dimensions))
    start = 4 + 4 * dimensions
    if len(sizes) < dimensions or len(content) - start != int(np.prod(sizes, dtype=np.int64)):
        raise DataError(f"{path} is cut off or damaged: it does not hold the {sizes} values that it names.")
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes)


def _sizes(content: bytes, dimensions: int) -> Iterator[int]:
    for at in range(4, 4 + 4 * dimensions, 4):
        if len(part := content[at : at + 4]) == 4:
            yield int.from_bytes(part)
