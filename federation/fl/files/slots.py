"""The file of what a strategy keeps with a model: slots of the model's shapes, and single numbers."""

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from federation.fl import weights
from federation.fl.files import streams
from federation.fl.files.streams import Reader, Writer
from federation.fl.weights import Layout, WeightsError, shown


def reader(stack: ExitStack, slots: tuple[str, ...], path: Path | None, tensors: Layout) -> Reader | None:
    if path is None or not slots:
        return None
    like = {name: ("F64", shape) for name, (_, shape) in streams.floats(tensors).items()}
    return stack.enter_context(Reader([(path, f"{slot}/") for slot in slots], like))


def writer(
    stack: ExitStack, slots: Sequence[str], numbers: Mapping[str, float], path: Path, tensors: Layout
) -> Writer | None:
    """What the slots are written with; the numbers are written at once. Raises WeightsError if one is not finite."""
    kept = streams.slot_layout(slots, tensors) | {_scalar(name): ("F64", ()) for name in numbers}
    if not slots and not numbers:
        return None
    written = stack.enter_context(Writer(path, kept))
    for name, value in numbers.items():
        if not math.isfinite(value):
            raise WeightsError(f"The strategy's {name} would not be finite.")
        written.write(_scalar(name), 0, np.array([value], np.float64))
    return written


def _scalar(name: str) -> str:
    return f"scalar/{name}"


def scalars(names: Sequence[str], path: Path | None) -> dict[str, float]:
    """What was kept; zeros at the start of a session. Raises WeightsError if one is missing."""
    if path is None or not names:
        return dict.fromkeys(names, 0.0)
    found: dict[str, float] = {}
    header = weights.read_header(path)
    for name in names:
        tensor = header.tensors.get(_scalar(name))
        if tensor is None or (tensor.dtype, tensor.shape) != ("F64", ()):
            raise WeightsError(f"{path.name} does not hold {shown(_scalar(name))} with dtype F64 and shape ().")
        found[name] = float(np.fromfile(path, "<f8", 1, offset=tensor.offset)[0])
    return found
