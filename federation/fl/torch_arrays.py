"""PyTorch's tensors as the arrays that files hold, and back. torch is imported only inside functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from federation.fl.dtypes import TABLE
from federation.fl.weights import Array, dtype_of

if TYPE_CHECKING:
    import torch


def to_torch(name: str, array: Array) -> torch.Tensor:
    """The tensor, in the array's own memory. Raises WeightsError naming it for a type that is not in the table."""
    import torch

    wanted: torch.dtype = getattr(torch, TABLE[dtype_of(name, array)].torch)
    if wanted is torch.bfloat16:  # numpy holds its bits
        return torch.from_numpy(array.view(np.int16)).view(wanted)
    return torch.from_numpy(array)


def to_array(tensor: torch.Tensor) -> Array:
    """A copy of the tensor's values. Its type may be one that no file holds: writing it raises WeightsError."""
    import torch

    there = tensor.detach().cpu()
    if there.dtype is torch.bfloat16:
        return np.asarray(there.contiguous().view(torch.int16).numpy().view(np.uint16).copy())
    return np.asarray(there.numpy().copy())
