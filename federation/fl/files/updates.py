"""What a client sends: one safetensors file with its delta, plain or encoded, checked before anything is counted."""

import hashlib
import json
import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from federation.fl import compression, norms, weights
from federation.fl.encodings import INDICES, NONE, PLAIN, SCALE, VALUES, Encoding
from federation.fl.files import streams
from federation.fl.files.deltas import DeltaReader
from federation.fl.files.streams import Reader
from federation.fl.numbers import bounded
from federation.fl.roles import VARIANCE
from federation.fl.weights import DTYPES, FLOATS, Array, Header, Layout, Tensor, WeightsError, shown

MAX_NUM_EXAMPLES = 10**12
MAX_METRICS = 100
MOST_DIGITS = 40  # of a number in the metadata
NEEDED = {  # numbers that a strategy may need: their limits and what they are
    "local_steps": (1.0, 1e9, "how many steps the optimizer made, a number from 1 to 10^9"),
    "base_train_loss": (0.0, 1e30, "the mean loss of the received model on the training examples, from 0 to 10^30"),
}
CHUNK_BYTES = 2**20

Test = Callable[[Array], None]
Tests = dict[str, Test]


class UpdateError(ValueError):
    """An update that cannot be accepted. str(error) names the tensor or member, for the client's owner."""


@dataclass(frozen=True, slots=True)
class Update:
    """What is known of a checked update. metrics: final numbers; None for one that is not finite or beyond 10^30."""

    digest: str
    num_bytes: int
    num_examples: int
    metrics: dict[str, float | None]
    norm: float = 0.0  # L2, over all float tensors as they are decoded
    unusable: tuple[str, ...] = ()  # metrics with numbers beyond 10^30
    seal: bytes = b""  # what a `Seal` made of the same bytes


class Seal(Protocol):
    """Is given an update's bytes while they are hashed."""

    def update(self, data: memoryview, /) -> None: ...
    def finish(self, digest: str, /) -> bytes: ...


def check(
    path: Path,
    *,
    base: Header,
    base_digest: str,
    encoding: Encoding = NONE,
    buffers: Collection[str] = (),
    model: Path | None = None,
    sender: str = "this client",
    needs: Collection[str] = (),
    seal: Seal | None = None,
) -> Update:
    """Check a whole update file against the model it was trained from.

    Its tensors are named, shaped and typed as the base's, or as ``encoding`` has them where its
    metadata say so; every float is finite, and its metadata hold num_examples (an integer from 1
    to 10^12), base_digest and optionally metrics (a JSON object of finite numbers or null); other
    metadata are ignored. buffers: they travel as they are, or encoded as every tensor was before there were roles;
    they are no part of the norm. model: the base's file, with which no variance may become negative; the refusal
    names the sender. needs: members of NEEDED that the metadata must hold. One pass over the file for digest, seal
    and values, in constant memory.
    Raises UpdateError.
    """
    try:
        header = weights.read_header(path, max_header_bytes=_header_allowance(base))
    except WeightsError as error:
        raise UpdateError(str(error)) from error
    is_encoded = _is_encoded(header.metadata, encoding)
    size = _Size({VALUES + name if is_encoded else name for name in buffers})
    tests = _encoded(header, base, encoding, buffers, size) if is_encoded else _plain(header, base, size)
    num_examples = _num_examples(header.metadata)
    _check_base(header.metadata, base_digest)
    _check_needed(header.metadata, needs)
    told = _metrics(header.metadata)
    metrics = {name: bounded(value) for name, value in told.items()}
    unusable = tuple(name for name, value in told.items() if value is not None and metrics[name] is None)
    digest = _digest_of_good(path, header, tests, seal)
    if model is not None:
        _check_variances(path, model, base, buffers, sender)
    sealed = seal.finish(digest) if seal else b""
    return Update(digest, header.num_bytes, num_examples, metrics, size.norm(), unusable, sealed)


class _Size:
    """Adds up an update's squared norm, part by part. A part's scale may come before or after it.

    aside: the parts that are left out.
    """

    def __init__(self, aside: Collection[str]) -> None:
        self.aside = aside
        self.squares: dict[str, float] = {}
        self.scales: dict[str, float] = {}

    def add(self, part: str, square: float) -> None:
        if part not in self.aside:
            self.squares[part] = self.squares.get(part, 0.0) + square

    def norm(self) -> float:
        return norms.norm(sum(square * self.scales.get(part, 1.0) ** 2 for part, square in self.squares.items()))


def _header_allowance(base: Header) -> int:
    """How long an update's header may be: parsing a huge one would cost far more memory than it has bytes."""
    needed = min((tensor.offset for tensor in base.tensors.values()), default=0)
    return min(weights.MAX_HEADER_BYTES, 4 * needed + 2**18)


def _is_encoded(metadata: Mapping[str, str], encoding: Encoding) -> bool:
    given = metadata.get("encoding", PLAIN)
    if given != PLAIN and (given != encoding.name or encoding == NONE):
        allowed = PLAIN if encoding == NONE else f"{PLAIN} or {encoding.name}"
        raise UpdateError(f"The update's encoding is {shown(given)}, but this session takes {allowed}.")
    return given != PLAIN


def _plain(header: Header, base: Header, size: _Size) -> Tests:
    _check_tensors(header.tensors, streams.layout(base), "model")
    return {name: _all_finite(name, tensor.dtype, size) for name, tensor in header.tensors.items()}


def _encoded(header: Header, base: Header, encoding: Encoding, buffers: Collection[str], size: _Size) -> Tests:
    parts = encoding.layout(streams.layout(base), dense=_dense(header, base, buffers))
    if encoding.sparse:
        parts |= _shortened(header.tensors, base, parts)
    _check_tensors(header.tensors, parts, f"{encoding.name} encoding")
    tests = {name: _all_finite(name, tensor.dtype, size) for name, tensor in header.tensors.items()}
    for name, tensor in base.tensors.items():
        if tensor.dtype not in encoding.dtypes:
            continue
        if SCALE + name in parts:
            tests[SCALE + name] = _a_scale(name, size)
            tests[VALUES + name] = _levels(VALUES + name, size)
        if INDICES + name in parts:
            tests[INDICES + name] = _ascending(INDICES + name, tensor.size)
    return tests


def _dense(header: Header, base: Header, buffers: Collection[str]) -> set[str]:
    """The buffers that travel as they are. Agents of before there were roles encode them."""
    return {
        name
        for name in buffers
        if (given := header.tensors.get(VALUES + name))
        and (given.dtype, given.shape) == (base.tensors[name].dtype, base.tensors[name].shape)
        and not {SCALE + name, INDICES + name} & header.tensors.keys()
    }


def _check_variances(path: Path, model: Path, base: Header, buffers: Collection[str], sender: str) -> None:
    """Raises UpdateError for a running variance that would be below zero."""
    variances = {name: base.tensors[name] for name in sorted(buffers) if name.endswith(VARIANCE)}
    tensors = {name: (each.dtype, each.shape) for name, each in variances.items() if each.dtype in FLOATS}
    if not tensors:
        return
    with Reader([(model, "")], tensors) as before, DeltaReader([path], tensors) as deltas:
        for span in streams.spans(tensors, 1):
            was = weights.widen(before.read(span)[0], span.dtype).astype(np.float64)
            lowest = (was + deltas.read(span)[0]).min(initial=0.0)
            if lowest < 0:
                raise UpdateError(
                    f"{shown(span.name)} of {sender} would be {lowest:.3g}, but a variance is never below zero."
                )


def _shortened(given: Mapping[str, Tensor], base: Header, parts: Layout) -> Layout:
    """The parts of sparse tensors, of which a client may send fewer values than it could."""
    shorter: Layout = {}
    for name in base.tensors:
        places, values = given.get(INDICES + name), given.get(VALUES + name)
        if INDICES + name not in parts or places is None or values is None:
            continue
        most = parts[VALUES + name][1][0]
        if len(places.shape) != 1 or places.size > most:
            raise UpdateError(
                f"{shown(INDICES + name)} has shape {list(places.shape)}: one dimension of at most {most} is allowed."
            )
        if values.shape != places.shape:
            raise UpdateError(
                f"{shown(VALUES + name)} has shape {list(values.shape)}, but its indices have {list(places.shape)}."
            )
        shorter |= {part: (parts[part][0], places.shape) for part in (INDICES + name, VALUES + name)}
    return shorter


def _check_tensors(given: Mapping[str, Tensor], wanted: Layout, whose: str) -> None:
    if missing := sorted(wanted.keys() - given.keys()):
        raise UpdateError(f"The tensor {shown(missing[0])} is missing{_and_more(missing)}.")
    if extra := sorted(given.keys() - wanted.keys()):
        raise UpdateError(f"The {whose} has no tensor {shown(extra[0])}{_and_more(extra)}.")
    for name, tensor in given.items():
        dtype, shape = wanted[name]
        if tensor.shape != shape:
            raise UpdateError(f"{shown(name)} has shape {list(tensor.shape)}, but the {whose}'s has {list(shape)}.")
        if tensor.dtype != dtype:
            raise UpdateError(f"{shown(name)} has dtype {tensor.dtype}, but the {whose}'s has {dtype}.")


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


def _check_needed(metadata: Mapping[str, str], needs: Collection[str]) -> None:
    for name in needs:
        lowest, highest, what = NEEDED[name]
        if name not in metadata:
            raise UpdateError(f"The metadata {name} is missing: {what}. The session's strategy needs it.")
        if not lowest <= number(metadata[name]) <= highest:
            raise UpdateError(f"The metadata {name} must be {what}, not {shown(metadata[name])}.")


def number(text: str | None) -> float:
    """A number of the metadata; NaN where it is missing or none."""
    try:
        return float(text) if text is not None and len(text) <= MOST_DIGITS else math.nan
    except ValueError:
        return math.nan


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


# ---- what the values must be: functions that are given a tensor's values in order, a chunk at a time


def _all_finite(name: str, dtype: str, size: _Size) -> Test:
    def test(stored: Array) -> None:
        if not weights.all_finite(stored, dtype):
            raise UpdateError(f"{shown(name)} holds a value that is not finite.")
        size.add(name, norms.squared(stored, dtype))

    return test if dtype in FLOATS else lambda stored: None


def _a_scale(name: str, size: _Size) -> Test:
    def test(stored: Array) -> None:
        if not 0 <= stored[0] <= compression.MAX_SCALE:
            allowed = f"it must be from 0 to {compression.MAX_SCALE:g}"
            raise UpdateError(f"{shown(SCALE + name)} is {stored[0]:g}: {allowed}.")
        size.scales[VALUES + name] = float(stored[0])

    return test


def _levels(name: str, size: _Size) -> Test:
    def test(stored: Array) -> None:
        if stored.min() < -compression.LEVELS:
            raise UpdateError(f"{shown(name)} holds {stored.min()}: int8 goes from -127 to 127 here.")
        size.add(name, norms.squared(stored, "I8"))

    return test


def _ascending(name: str, size: int) -> Test:
    last = -1

    def test(stored: Array) -> None:
        nonlocal last
        outside = stored[(stored < 0) | (stored >= size)]
        if len(outside):
            raise UpdateError(f"{shown(name)} holds {outside[0]}: the tensor has the indices 0 to {size - 1}.")
        before = np.concatenate([[last], stored[:-1]])
        wrong = np.flatnonzero(stored <= before)
        if len(wrong):
            first = wrong[0]
            raise UpdateError(f"{shown(name)} must ascend, each index once: {stored[first]} follows {before[first]}.")
        last = int(stored[-1])

    return test


def _digest_of_good(path: Path, header: Header, tests: Tests, seal: Seal | None) -> str:
    """The file's SHA-256. Raises UpdateError naming a tensor that holds a value that cannot be."""
    sha = hashlib.sha256()
    takers = (sha.update, seal.update) if seal else (sha.update,)
    buffer = np.empty(CHUNK_BYTES, np.uint8)
    tensors = sorted(header.tensors.items(), key=lambda item: item[1].offset)
    with path.open("rb", buffering=0) as file:
        start = header.num_bytes - sum(tensor.num_bytes for _, tensor in tensors)
        for chunk in _chunks(file, start, buffer):
            for take in takers:
                take(chunk.data)
        for name, tensor in tensors:
            for chunk in _chunks(file, tensor.num_bytes, buffer):
                for take in takers:
                    take(chunk.data)
                tests[name](chunk.view(DTYPES[tensor.dtype]))
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
