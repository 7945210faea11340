"""The tensors of the workloads' models, known without torch and without making a model.

A test holds each against what its workload makes. A workload that is not here is known by its models alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from federation.fl.weights import Header, Tensor
from federation.fl.workloads.digits import Digits
from federation.fl.workloads.synthetic import Synthetic
from federation.fl.workloads.threes_and_sevens import ThreesAndSevens

Shapes = Mapping[str, tuple[int, ...]]
_DIGITS: Shapes = {
    "conv1.weight": (32, 1, 3, 3),
    "conv1.bias": (32,),
    "norm1.weight": (32,),
    "norm1.bias": (32,),
    "conv2.weight": (64, 32, 3, 3),
    "conv2.bias": (64,),
    "norm2.weight": (64,),
    "norm2.bias": (64,),
    "fc1.weight": (128, 1024),
    "fc1.bias": (128,),
    "fc2.weight": (10, 128),
    "fc2.bias": (10,),
}
_THREES_AND_SEVENS: Shapes = {"1.weight": (1, 784), "1.bias": (1,)}
_SHAPES: Mapping[str, Callable[[Mapping[str, Any]], Shapes]] = {
    Digits.name: lambda options: _DIGITS,
    ThreesAndSevens.name: lambda options: _THREES_AND_SEVENS,
    Synthetic.name: lambda options: {"weight": (int(options["num_parameters"]),)},
}


def layout(workload: str, options: Mapping[str, Any]) -> Header | None:
    """What the header of a model's file says of its tensors; None where only a model can tell.

    options: all of them. Offsets and sizes are not told.
    """
    if workload not in _SHAPES:
        return None
    shapes = _SHAPES[workload](options)
    return Header({name: Tensor("F32", shapes[name], 0) for name in sorted(shapes)}, {}, 0)
