"""torchvision beside a torch for CPUs, and what is used of it."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from federation.fl.weights import Array
from federation.fl.workloads.digit_images import Split

# torch forgets an operator when the library that declared it is freed.
_declared: list[Any] = []


def datasets() -> Any:
    """torchvision.datasets, imported even where torchvision's own operators cannot be.

    They are compiled for CUDA; beside a torch for CPUs they fail to load, and the import ends with
    "operator torchvision::nms does not exist". Declaring the missing ones is enough for data sets,
    transforms and classification models. Nothing is done where the native operators load.
    """
    return _module("datasets")


def models() -> Any:
    """torchvision.models, in the same way."""
    return _module("models")


def _module(name: str) -> Any:
    try:
        return importlib.import_module(f"torchvision.{name}")
    except RuntimeError:
        _declare_operators()
        return importlib.import_module(f"torchvision.{name}")


def mnist(split: Split, folder: Path, *, download: bool) -> tuple[Array, Array] | None:
    """MNIST's images (n, 28, 28) uint8 and digits (n,) int64 in this folder; None where they are not.

    download: whether torchvision may fetch them. Raises its errors if that fails.
    """
    if not download and not (folder / "MNIST" / "raw").is_dir():
        return None  # without importing torchvision, which takes seconds
    try:
        data = datasets().MNIST(str(folder), train=split == "train", download=download)
    except RuntimeError:  # "Dataset not found": some of its files are missing
        if download:
            raise
        return None
    return data.data.numpy(), data.targets.numpy().astype(np.int64)


def _declare_operators() -> None:
    import torch

    library: Any = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)
