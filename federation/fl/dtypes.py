"""The types that tensors have in files, in numpy and in PyTorch: one table for every reader and writer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Dtype:
    """One type. stored: how numpy holds it, little-endian as in files; BF16 has no numpy type, so its bits are held.

    torch: its name in PyTorch. storage: the class by which PyTorch's files name it. largest: the largest finite value
    of a float type; None for integers.
    """

    stored: "np.dtype[Any]"
    torch: str
    storage: str
    largest: float | None = None


TABLE: Mapping[str, Dtype] = {  # by the safetensors format's words
    "F64": Dtype(np.dtype("<f8"), "float64", "DoubleStorage", float(np.finfo(np.float64).max)),
    "F32": Dtype(np.dtype("<f4"), "float32", "FloatStorage", float(np.finfo(np.float32).max)),
    "F16": Dtype(np.dtype("<f2"), "float16", "HalfStorage", float(np.finfo(np.float16).max)),
    "BF16": Dtype(np.dtype("<u2"), "bfloat16", "BFloat16Storage", float.fromhex("0x1.fep127")),
    "I64": Dtype(np.dtype("<i8"), "int64", "LongStorage"),
    "I32": Dtype(np.dtype("<i4"), "int32", "IntStorage"),
    "I8": Dtype(np.dtype("<i1"), "int8", "CharStorage"),
}
