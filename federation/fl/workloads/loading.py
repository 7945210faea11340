"""Handing out batches of examples: from memory here, from files in workloads whose data do not fit in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

from federation.fl.workloads.workload import Data

if TYPE_CHECKING:
    import torch

    Which = torch.Tensor | slice  # positions of examples in the data

Batch = tuple["torch.Tensor", "torch.Tensor"]  # features, labels


class Loader(Protocol):
    def each(self, batches: Sequence[Which], draw: tuple[int, int] | None = None) -> Iterator[Batch]:
        """One batch after another. draw: (seed, epoch), where examples are changed at random; None: they are not."""


class InMemory:
    """Data that are arrays, moved to the device once."""

    def __init__(self, data: Data, device: str) -> None:
        import torch

        self._features = torch.from_numpy(data.features).to(device)
        self._labels = torch.from_numpy(data.labels).to(device)
        self._device = device

    def each(self, batches: Sequence[Which], draw: tuple[int, int] | None = None) -> Iterator[Batch]:
        for batch in batches:
            which = batch if isinstance(batch, slice) else batch.to(self._device)
            yield self._features[which], self._labels[which]
