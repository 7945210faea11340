"""The statistics that a network keeps, such as BatchNorm's, as each client's model holds them."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from federation.fl import weights
from federation.fl.files.streams import Reader, Span
from federation.fl.weights import FLOATS, Array, Layout


class Statistics:
    """Reads what each client's buffers hold: its own base's values and its update's deltas, added.

    own: the model that each update was trained from, where that is another one than `base`.
    """

    def __init__(self, base: Path, own: Sequence[Path | None], tensors: Layout) -> None:
        bases = [path or base for path in own]
        paths = list(dict.fromkeys(bases))
        self._rows = np.array([paths.index(path) for path in bases])
        self._names = tensors.keys()
        self._reader = Reader([(path, "") for path in paths] if tensors else [], tensors)

    def __enter__(self) -> Self:
        self._reader.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.__exit__(kind, error, trace)

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def values(self, span: Span, deltas: Array) -> Array:
        """(n, d): floats in float64; integers in their own type, in which they wrap around as the deltas did."""
        bases = self._reader.read(span)
        if span.dtype not in FLOATS:
            return np.asarray(bases[self._rows] + deltas)
        return np.asarray(weights.widen(bases, span.dtype).astype(np.float64)[self._rows] + deltas)
