"""How the float values of an update are made smaller on the wire, tensor by tensor, in flat memory.

Each encoder takes a tensor's delta as flat float32, writes its parts, and leaves in the array what
it could not say: the residual, which error feedback adds to the next delta (Seide et al. 2014,
"1-bit SGD", section 3.2; Karimireddy et al. 2019, arXiv:1901.09847, algorithm 2). Beside the array
it needs one block.
"""

import math
from collections.abc import Iterator

import numpy as np

from federation.fl.weights import Array

BLOCK = 2**15  # coordinates
FLOAT16_MAX = np.float32(65504)
LEVELS = 127  # of int8 on each side of zero
MAX_SCALE = np.nextafter(np.finfo(np.float32).max / np.float32(LEVELS), np.float32(0))  # 127 of it are finite


def to_float16(values: Array) -> Array:
    """Rounded half to even; what is too large becomes the largest float16."""
    return np.clip(values, -FLOAT16_MAX, FLOAT16_MAX).astype("<f2")


def int8_scale(values: Array) -> np.float32:
    """What one step of int8 is worth: max |value| / 127."""
    largest = max((float(np.abs(values[part]).max()) for part in blocks(len(values))), default=0.0)
    return min(np.float32(largest / LEVELS), MAX_SCALE)


def quantize(values: Array, scale: np.float32, rng: np.random.Generator) -> Iterator[Array]:
    """Blocks of int8 q with E[scale * q] = value, by stochastic rounding: floor(value / scale + u), u in [0, 1).

    Alistarh et al. 2017, QSGD (arXiv:1610.02132), section 3.1, with the maximum in place of the norm.
    Leaves value - scale * q in ``values``.
    """
    for part in blocks(len(values)):
        block = values[part]
        steps = block / scale if scale > 0 else np.zeros_like(block)
        q = np.clip(np.floor(steps + rng.random(len(block), np.float32)), -LEVELS, LEVELS)
        q = q.astype(np.int8) if scale > 0 else np.zeros(len(block), np.int8)
        block -= dequantize(q, scale)
        yield q


def dequantize(q: Array, scale: np.float32) -> Array:
    """scale * q in float32."""
    return np.asarray(q.astype(np.float32) * scale)


def top_count(size: int, fraction: float) -> int:
    """How many values of a tensor are sent: a fraction of them, rounded up."""
    return min(size, math.ceil(fraction * size))


def take_top(values: Array, count: int) -> Iterator[tuple[Array, Array]]:
    """(indices int64, values) of the ``count`` largest by magnitude, block by block in ascending order.

    Of equal magnitudes at the end the first are taken. Leaves zeros in ``values`` where it took.
    """
    threshold, equal_left = _threshold(values, count)
    for part in blocks(len(values)):
        bits = _magnitude_bits(values[part])
        chosen = bits > threshold
        ties = np.flatnonzero(bits == threshold)[:equal_left]
        chosen[ties] = True
        equal_left -= len(ties)
        indices = np.flatnonzero(chosen) + part.start
        yield indices, values[indices]
        values[indices] = 0


def blocks(size: int) -> Iterator[slice]:
    for start in range(0, size, BLOCK):
        yield slice(start, min(start + BLOCK, size))


def _threshold(values: Array, count: int) -> tuple[int, int]:
    """The bits of the count-th largest magnitude, and how many values of that magnitude belong to the largest.

    Two passes of a radix select: magnitudes of floats order as their bits do, first the upper 16, then the lower.
    """
    if count == 0:
        return 2**32, 0
    upper, left = _descend(_histogram(values, None), count)
    lower, left = _descend(_histogram(values, upper), left)
    return upper << 16 | lower, left


def _histogram(values: Array, upper: int | None) -> Array:
    """Counts of the upper half of the bits, or of the lower half where the upper is as given."""
    counts = np.zeros(2**16, np.int64)
    for part in blocks(len(values)):
        bits = _magnitude_bits(values[part])
        halves = bits >> 16 if upper is None else bits[bits >> 16 == upper] & 0xFFFF
        counts += np.bincount(halves, minlength=2**16)
    return counts


def _descend(counts: Array, rank: int) -> tuple[int, int]:
    """The bin that holds the rank-th from the top, and its rank within that bin."""
    above = np.cumsum(counts[::-1])
    place = int(np.searchsorted(above, rank))
    return len(counts) - 1 - place, rank - int(above[place] - counts[::-1][place])


def _magnitude_bits(values: Array) -> Array:
    return (values.view(np.uint32) & 0x7FFFFFFF).astype(np.int64)
