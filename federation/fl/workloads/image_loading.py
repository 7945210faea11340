"""Batches of images: read from files as they are needed, by processes beside the training, and changed at random."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from federation.fl.sampling import generator
from federation.fl.weights import Array
from federation.fl.workloads.image_files import Images
from federation.fl.workloads.workload import DataError

if TYPE_CHECKING:
    from federation.fl.workloads.loading import Batch, Which

WORKERS = "FL_CLIENT_LOADERS"  # environment: how many processes read images
USUAL_WORKERS = 2
AHEAD = 2  # batches that each has ready
MEAN = np.array((0.485, 0.456, 0.406), np.float32)[:, np.newaxis, np.newaxis]  # of ImageNet's pixels
DEVIATION = np.array((0.229, 0.224, 0.225), np.float32)[:, np.newaxis, np.newaxis]
SHIFT = 8  # an image is moved by up to an eighth of its size


@dataclass(frozen=True, slots=True)
class Look:
    """How images are seen. augmentation: none, flip, or flip_shift."""

    size: int
    grey: bool
    augmentation: str


class FromFiles:
    """Reads, and changes where a draw is given. What is drawn depends on seed, epoch and image, not on processes."""

    def __init__(self, data: Images, look: Look, device: str) -> None:
        self._data, self._look, self._device = data, look, device

    def each(self, batches: Sequence[Which], draw: tuple[int, int] | None = None) -> Iterator[Batch]:
        """Raises DataError for a file that is no image."""
        import torch
        from torch.utils.data import DataLoader

        chosen = [_positions(batch, len(self._data)) for batch in batches]
        workers = _workers()
        pictures: Any = _Pictures(self._data, self._look, draw)
        loader: Any = DataLoader(
            pictures,
            batch_sampler=chosen,
            num_workers=workers,
            prefetch_factor=AHEAD if workers else None,
            collate_fn=_stacked,
        )
        for features, labels in map(_complete, loader):
            yield torch.tensor(features, device=self._device), torch.tensor(labels, device=self._device)


class _Pictures:
    """One image by its position, with its label."""

    def __init__(self, data: Images, look: Look, draw: tuple[int, int] | None) -> None:
        self._data, self._look, self._draw = data, look, draw

    def __len__(self) -> int:
        return len(self._data)

    def __getitem__(self, position: int) -> tuple[Array, Array] | str:
        """Of a file that is no image, what is wrong with it: an exception would arrive as a whole traceback."""
        try:
            image = self._data.pixels(position, self._look.size, grey=self._look.grey)
        except DataError as error:
            return str(error)
        if self._draw is not None and self._look.augmentation != "none":
            rng = generator("augment", *self._draw, str(self._data.digests[position]))
            image = changed(image, rng, shifts=self._look.augmentation == "flip_shift")
        return (image - MEAN) / DEVIATION, self._data.labels[position]


def changed(image: Array, rng: np.random.RandomState, *, shifts: bool) -> Array:
    """The image mirrored or not, and moved, with its border repeated. image: (channels, height, width)."""
    if rng.randint(2):
        image = image[:, :, ::-1]
    if not shifts:
        return image
    most = image.shape[1] // SHIFT
    down, right = rng.randint(-most, most + 1, 2)
    padded = np.pad(image, ((0, 0), (most, most), (most, most)), mode="edge")
    top, left = most + down, most + right
    return padded[:, top : top + image.shape[1], left : left + image.shape[2]]


def _stacked(examples: Sequence[tuple[Array, Array] | str]) -> tuple[Array, Array] | str:
    """In one order in memory: torch computes other last digits in another one."""
    if wrong := [one for one in examples if isinstance(one, str)]:
        return wrong[0]
    complete = [one for one in examples if not isinstance(one, str)]
    images = np.ascontiguousarray(np.stack([image for image, _ in complete]))
    return images, np.stack([label for _, label in complete])


def _complete(batch: tuple[Array, Array] | str) -> tuple[Array, Array]:
    if isinstance(batch, str):
        raise DataError(batch)
    return batch


def _positions(which: Which, count: int) -> list[int]:
    return list(range(*which.indices(count))) if isinstance(which, slice) else which.tolist()


def _workers() -> int:
    """None in a process that may have no children, or on a machine with one core."""
    if multiprocessing.current_process().daemon or (os.cpu_count() or 1) < 2:
        return 0
    return int(os.environ.get(WORKERS, USUAL_WORKERS))
