"""What a client sends: one safetensors file with its delta, checked before anything is counted."""

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from federation.fl import weights
from federation.fl.weights import DTYPES, Array, Header, Tensor, WeightsError, shown

MAX_NUM_EXAMPLES = 10**12
MAX_METRICS = 100
CHUNK_BYTES = 2**20


class UpdateError(ValueError):
    """An update that cannot be accepted. str(error) names the tensor or member, for the client's owner."""


@dataclass(frozen=True, slots=True)
class Update:
    """What is known of a checked update. metrics: final numbers; None where one was not finite."""

    digest: str
    num_bytes: int
    num_examples: int
    metrics: dict[str, float | None]


def check(path: Path, *, base: Header, base_digest: str) -> Update:
    """Check a whole update file against the model it was trained from.

    Its tensors are named, shaped and typed as the base's, every float is finite, and its metadata
    hold num_examples (an integer from 1 to 10^12), base_digest and optionally metrics (a JSON
    object of finite numbers or null); other metadata are ignored. One pass over the file for
    digest and finiteness, in constant memory. Raises UpdateError.
    """
    try:
        header = weights.read_header(path, max_header_bytes=_header_allowance(base))
    except WeightsError as error:
        raise UpdateError(str(error)) from error
    _check_tensors(header.tensors, base.tensors)
    num_examples = _num_examples(header.metadata)
    _check_base(header.metadata, base_digest)
    metrics = _metrics(header.metadata)
    return Update(_digest_of_finite(path, header), header.num_bytes, num_examples, metrics)


def _header_allowance(base: Header) -> int:
    """How long an update's header may be: parsing a huge one would cost far more memory than it has bytes."""
    needed = min((tensor.offset for tensor in base.tensors.values()), default=0)
    return min(weights.MAX_HEADER_BYTES, 4 * needed + 2**18)


def _check_tensors(given: Mapping[str, Tensor], base: Mapping[str, Tensor]) -> None:
    if missing := sorted(base.keys() - given.keys()):
        raise UpdateError(f"The tensor {shown(missing[0])} is missing{_and_more(missing)}.")
    if extra := sorted(given.keys() - base.keys()):
        raise UpdateError(f"The model has no tensor {shown(extra[0])}{_and_more(extra)}.")
    for name, tensor in given.items():
        if tensor.shape != base[name].shape:
            raise UpdateError(
                f"{shown(name)} has shape {list(tensor.shape)}, but the model's has {list(base[name].shape)}."
            )
        if tensor.dtype != base[name].dtype:
            raise UpdateError(f"{shown(name)} has dtype {tensor.dtype}, but the model's has {base[name].dtype}.")


def _and_more(names: list[str]) -> str:
    return f" (and {len(names) - 1} more)" if len(names) > 1 else ""


def _num_examples(metadata: Mapping[str, str]) -> int:
    text = metadata.get("num_examples", "")
    number = int(text) if re.fullmatch("[0-9]{1,13}", text) else 0
    if not 1 <= number <= MAX_NUM_EXAMPLES:
        given = f"not {shown(text)}" if "num_examples" in metadata else "and is missing"
        raise UpdateError(f"The metadata num_examples must be an integer from 1 to 10^12, {given}.")
    return number


def _check_base(metadata: Mapping[str, str], base_digest: str) -> None:
    given = metadata.get("base_digest")
    if given is None:
        raise UpdateError("The metadata base_digest is missing: the digest of the model that was trained from.")
    if given != base_digest:
        raise UpdateError(f"base_digest is {shown(given)}, but this round's model is {base_digest}.")


def _metrics(metadata: Mapping[str, str]) -> dict[str, float | None]:
    try:
        metrics = json.loads(metadata.get("metrics", "{}"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise UpdateError(f"The metadata metrics are not JSON ({shown(error)}).") from error
    if not isinstance(metrics, dict) or len(metrics) > MAX_METRICS:
        raise UpdateError(f"The metadata metrics must be a JSON object of at most {MAX_METRICS} members.")
    return {_metric_name(name): _metric_value(name, value) for name, value in metrics.items()}


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is not JSON: write null")


def _metric_name(name: str) -> str:
    if not name.isprintable() or not 1 <= len(name) <= 100:
        raise UpdateError(f"{shown(name)} is not a name for a metric: use 1 to 100 printable characters.")
    return name


def _metric_value(name: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        number = float(value) if type(value) in (int, float) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise UpdateError(f"The metric {shown(name)} must be a finite number or null.")
    return number


def _digest_of_finite(path: Path, header: Header) -> str:
    """The file's SHA-256. Raises UpdateError naming a tensor that holds a value that is not finite."""
    sha = hashlib.sha256()
    buffer = np.empty(CHUNK_BYTES, np.uint8)
    tensors = sorted(header.tensors.items(), key=lambda item: item[1].offset)
    with path.open("rb", buffering=0) as file:
        start = header.num_bytes - sum(tensor.num_bytes for _, tensor in tensors)
        for chunk in _chunks(file, start, buffer):
            sha.update(chunk.data)
        for name, tensor in tensors:
            for chunk in _chunks(file, tensor.num_bytes, buffer):
                sha.update(chunk.data)
                if not weights.all_finite(chunk.view(DTYPES[tensor.dtype]), tensor.dtype):
                    raise UpdateError(f"{shown(name)} holds a value that is not finite.")
    return sha.hexdigest()


def _chunks(file: BinaryIO, num_bytes: int, buffer: Array) -> Iterator[Array]:
    """The next bytes of a file, in views of the buffer; every view is full but the last."""
    while num_bytes:
        chunk = buffer[: min(num_bytes, len(buffer))]
        filled = 0
        while filled < len(chunk):
            count = file.readinto(chunk[filled:].data)  # type: ignore[attr-defined]
            if not count:
                raise UpdateError("The file was cut off while it was read.")
            filled += count
        num_bytes -= len(chunk)
        yield chunk
