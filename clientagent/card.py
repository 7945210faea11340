"""How busy the NVIDIA card is that torch trains on, as the driver's library (NVML) reports it."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

LIBRARY = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"


class _Utilization(ctypes.Structure):
    """Percent of the last moments in which the card computed, and in which it moved memory."""

    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class Card:
    """The card that torch uses in this process."""

    def __init__(self, library: Any, handle: ctypes.c_void_p) -> None:
        self._library, self._handle = library, handle

    def percent(self) -> float | None:
        """How much of the last moments it computed, for all processes together. None where the driver does not say."""
        found = _Utilization()
        failed = self._library.nvmlDeviceGetUtilizationRates(self._handle, ctypes.byref(found))
        return None if failed else float(found.gpu)

    def reserved_mb(self) -> float:
        """The memory of the card that torch keeps for this process, in MB."""
        import torch

        return torch.cuda.memory_reserved() / 1e6


def of(device: str) -> Card | None:
    """The card of a device such as `cuda`. None for another device, or where the driver's library cannot be used."""
    if not device.startswith("cuda"):
        return None
    import torch

    name = f"GPU-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"
    handle = ctypes.c_void_p()
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        return None
    if library.nvmlInit_v2() or library.nvmlDeviceGetHandleByUUID(name.encode(), ctypes.byref(handle)):
        return None
    return Card(library, handle)
