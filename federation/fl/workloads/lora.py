"""Low-rank adapters beside a frozen network (LoRA: Hu et al. 2021, arXiv:2106.09685). torch is imported in functions.

The frozen network is in no state_dict, so it is neither sent nor aggregated: whoever makes the network draws it from
its shapes alone, the same to the last bit everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np

from federation.fl.sampling import generator
from federation.fl.weights import Array, Weights

if TYPE_CHECKING:
    import torch

DOWN, UP = "lora_a", "lora_b"
SCALE = 2.0  # alpha / r of the paper's equation 3


def tensors(name: str, shape: tuple[int, int], rank: int) -> dict[str, tuple[int, ...]]:
    """The tensors of an adapter of this name beside a matrix (outputs, inputs)."""
    outputs, inputs = shape
    return {f"adapters.{name}.{DOWN}": (inputs, rank), f"adapters.{name}.{UP}": (rank, outputs)}


def frozen(shapes: Mapping[str, tuple[int, ...]], embeddings: Collection[str]) -> Weights:
    """Weights for parameters of these names and shapes, drawn from nothing else.

    Of matrices uniform within 1 / sqrt(inputs); of embeddings with a variance of one. A normalization does nothing.
    Only numpy's uniform numbers are used, because torch's draws may differ in the last bit between processors.
    """
    return {name: _drawn(name, shape, name in embeddings) for name, shape in shapes.items()}


def _drawn(name: str, shape: tuple[int, ...], is_embedding: bool) -> Array:
    if len(shape) == 1:
        return np.full(shape, float(name.endswith(".weight")), np.float32)
    bound = math.sqrt(3.0) if is_embedding else 1 / math.sqrt(shape[1])
    found: Array = generator("frozen", name, *shape).uniform(-bound, bound, shape).astype(np.float32)
    return found


def beside(
    network: torch.nn.Module, kept: Weights, *, adapt: Mapping[str, str], last: torch.nn.Module, rank: int
) -> torch.nn.Module:
    """The network with adapters, computing as it does with these weights until they are trained.

    network: for its structure, with tensors on the device "meta". kept: its frozen parameters, all but those of `last`.
    adapt: parameters that are matrices (outputs, inputs), by the names of their adapters. Each gets `lora_a`
    (inputs, rank), drawn from torch's generator, and `lora_b` (rank, outputs), zero. last: what its layer of this name
    is; it is trained whole.
    """
    import torch
    from torch import nn
    from torch.func import functional_call

    class Adapter(nn.Module):
        def __init__(self, outputs: int, inputs: int) -> None:
            super().__init__()
            self.register_parameter(DOWN, nn.Parameter(torch.empty(inputs, rank)))
            self.register_parameter(UP, nn.Parameter(torch.zeros(rank, outputs)))
            nn.init.uniform_(self.get_parameter(DOWN), -1 / math.sqrt(inputs), 1 / math.sqrt(inputs))

        def forward(self) -> torch.Tensor:
            """What is added to the matrix."""
            return (self.get_parameter(DOWN) @ self.get_parameter(UP)).T * SCALE

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self._structure = (network,)  # in a tuple, so that it is no part of this module
            for place, array in enumerate(kept.values()):
                self.register_buffer(f"frozen_{place}", torch.from_numpy(array), persistent=False)
            self.adapters = nn.ModuleDict({name: Adapter(*kept[one].shape) for name, one in adapt.items()})
            self.last = last

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            tensors = {name: self.get_buffer(f"frozen_{place}") for place, name in enumerate(kept)}
            for name, one in adapt.items():
                tensors[one] = tensors[one] + self.adapters[name]()
            tensors |= {f"last.{name}": one for name, one in self.last.named_parameters()}
            structure = self._structure[0].train(self.training)
            outputs: torch.Tensor = functional_call(structure, tensors, (features,))
            return outputs

    return Network()
