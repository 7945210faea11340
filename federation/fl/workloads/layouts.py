"""The tensors of the workloads' models, known without torch and without making a model.

A test holds each against what its workload makes. A workload that is not here is known by its models alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from federation.fl.weights import Header, Tensor
from federation.fl.workloads.digits import Digits
from federation.fl.workloads.images import ImageWorkload
from federation.fl.workloads.mnist import FashionMnist, Mnist
from federation.fl.workloads.site_files import names_of
from federation.fl.workloads.synthetic import Synthetic
from federation.fl.workloads.table import Table, TableRegression
from federation.fl.workloads.text import Text, adapters, tokens_of
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
_MNIST: Mapping[str, Shapes] = {
    "2nn": {
        **{"1.weight": (200, 784), "1.bias": (200,)},
        **{"3.weight": (200, 200), "3.bias": (200,)},
        **{"5.weight": (10, 200), "5.bias": (10,)},
    },
    "cnn": {
        **{"0.weight": (32, 1, 5, 5), "0.bias": (32,)},
        **{"3.weight": (64, 32, 5, 5), "3.bias": (64,)},
        **{"7.weight": (512, 3136), "7.bias": (512,)},
        **{"9.weight": (10, 512), "9.bias": (10,)},
    },
}


def _images(options: Mapping[str, Any]) -> Shapes | None:
    """Of the small network with group normalization; torchvision alone knows the others."""
    if (options["network"], options["normalization"]) != ("small_cnn", "group"):
        return None
    found: dict[str, tuple[int, ...]] = {}
    for at, (before, after) in zip((0, 4, 8), ((3, 32), (32, 64), (64, 128)), strict=True):
        found |= {f"{at}.weight": (after, before, 3, 3), f"{at + 1}.weight": (after,), f"{at + 1}.bias": (after,)}
    classes = len(names_of(options["classes"]))
    return found | {"14.weight": (classes, 128), "14.bias": (classes,)}


def _table(options: Mapping[str, Any], outputs: int) -> Shapes:
    numbers, words, hidden = len(names_of(options["numbers"])), len(names_of(options["categories"])), options["hidden"]
    width = 2 * numbers + (options["buckets"] + 1) * words
    found: dict[str, tuple[int, ...]] = {"0.running_mean": (numbers,), "0.running_var": (numbers,)}
    sizes = (width, outputs) if options["network"] == "linear" else (width, hidden, hidden, outputs)
    for layer, (before, after) in enumerate(pairwise(sizes)):
        found |= {f"{2 * layer + 1}.weight": (after, before), f"{2 * layer + 1}.bias": (after,)}
    return found


def _text(options: Mapping[str, Any]) -> Shapes | None:
    """Of the bag of words, and of a transformer's adapters."""
    width, classes = options["width"], len(names_of(options["classes"]))
    if options["trained"] == "lora":
        found = {"last.weight": (classes, width), "last.bias": (classes,)}
        return found | adapters(width, options["rank"])
    if options["network"] != "bag":
        return None
    return {"0.weight": (tokens_of(options).count, width), "1.weight": (classes, width), "1.bias": (classes,)}


_SHAPES: Mapping[str, Callable[[Mapping[str, Any]], Shapes | None]] = {
    ImageWorkload.name: _images,
    Text.name: _text,
    Table.name: lambda options: _table(options, len(names_of(options["classes"]))),
    TableRegression.name: lambda options: _table(options, 1),
    Digits.name: lambda options: _DIGITS,
    ThreesAndSevens.name: lambda options: _THREES_AND_SEVENS,
    Mnist.name: lambda options: _MNIST[options["network"]],
    FashionMnist.name: lambda options: _MNIST[options["network"]],
    Synthetic.name: lambda options: {"weight": (int(options["num_parameters"]),)},
}


def layout(workload: str, options: Mapping[str, Any]) -> Header | None:
    """What the header of a model's file says of its tensors; None where only a model can tell.

    options: all of them. Offsets and sizes are not told.
    """
    if workload not in _SHAPES:
        return None
    shapes = _SHAPES[workload](options)
    if shapes is None:
        return None
    return Header({name: Tensor("F32", shapes[name], 0) for name in sorted(shapes)}, {}, 0)
