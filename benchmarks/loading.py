"""What reading a large folder of images takes of an agent: its memory, and how long training waits for images.

    .venv/bin/python benchmarks/loading.py [--images 50000] [--pixels 224] [--steps 60] [--batch 32] [--workers 2]
                                           [--network small_cnn] [--folder DIR]

Writes that many JPEG files in ten class folders (or takes those that are in DIR already), finds them as an agent does,
and trains so many steps on them, on one thread, with mirrored and moved images. This process does what an agent does
in one: memory is its own and that of the processes that read. A step's time is that from one batch to the next; what
of it was spent on waiting for the batch is the loader's. Prints both, and as its last line the same as JSON. The status
is 1 if memory reached 1.5 GB, or if the loader took more than 10 % of the steps' time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import machine  # noqa: E402
from clientagent import memory  # noqa: E402
from clientagent.children import Children  # noqa: E402
from federation.fl.local_options import LocalOptions  # noqa: E402
from federation.fl.workloads import TrainConfig, image_loading  # noqa: E402
from federation.fl.workloads.images import ImageWorkload  # noqa: E402
from federation.fl.workloads.loading import Batch, Loader  # noqa: E402
from federation.fl.workloads.workload import Data  # noqa: E402

CLASSES, HELD_OUT = 10, 64
MOST_BYTES, MOST_SHARE = 1.5e9, 0.1


@dataclass(frozen=True, slots=True)
class Found:
    """Bytes are the most that were seen. waited, took: the shortest, median and longest seconds of a step."""

    images: int
    listed: float  # seconds
    bytes_listed: int
    bytes_trained: int
    bytes_of_readers: int
    steps: int
    first: float  # seconds until the first batch
    waited: list[float]
    took: list[float]
    share: float

    @property
    def holds(self) -> bool:
        return max(self.bytes_listed, self.bytes_trained) < MOST_BYTES and self.share <= MOST_SHARE


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--pixels", type=int, default=224)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--network", default="small_cnn")
    parser.add_argument("--folder", type=Path, help="that has the images, or is to keep them")
    options = parser.parse_args()
    print(machine.describe(), flush=True)
    with tempfile.TemporaryDirectory() as made:
        folder = options.folder or Path(made) / "images"
        if not folder.exists():
            draw(folder, options.images, options.pixels)
        found = measure(folder, options)
    show(found)
    return 0 if found.holds else 1


def draw(folder: Path, count: int, pixels: int) -> None:
    """Soft noise, each image another one."""
    from PIL import Image

    rng = np.random.default_rng(1)
    soft = [Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)).resize((2 * pixels,) * 2) for _ in range(50)]
    for number in range(count):
        inner = folder / f"c{number % CLASSES}"
        inner.mkdir(parents=True, exist_ok=True)
        left, top = (int(one) for one in rng.integers(0, pixels, 2))
        image = soft[number % len(soft)].crop((left, top, left + pixels, top + pixels))
        image.putpixel((number % pixels, number // pixels % pixels), (255, 0, 0))
        image.save(inner / f"{number}.jpg", quality=85)


class Watch:
    """Looks at each batch of training as it is handed out: how long it was waited for, and what memory there is."""

    def __init__(self) -> None:
        self.waited: list[float] = []
        self.took: list[float] = []
        self.bytes = self.of_readers = 0
        self._children = Children()

    def each(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        asked = perf_counter()
        for batch in batches:
            came = perf_counter()
            self.waited.append(came - asked)
            yield batch
            self._look()
            self.took.append(perf_counter() - asked)
            asked = perf_counter()

    def _look(self) -> None:
        of_readers = self._children.memory()
        self.of_readers = max(self.of_readers, of_readers)
        self.bytes = max(self.bytes, memory.resident() + of_readers)


class Watched:
    """A loader whose batches of training are looked at; those of measuring are not."""

    def __init__(self, loader: Loader, watch: Watch) -> None:
        self._loader, self._watch = loader, watch

    def each(self, batches: Sequence[Any], draw: tuple[int, int] | None = None) -> Iterator[Batch]:
        found = self._loader.each(batches, draw)
        return found if draw is None else self._watch.each(found)


class Watching(ImageWorkload):
    """The workload `images`, looked at."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def loader(self, data: Data, device: str) -> Loader:
        return Watched(super().loader(data, device), self.watch)


def measure(folder: Path, options: argparse.Namespace) -> Found:
    import torch

    os.environ[image_loading.WORKERS] = str(options.workers)
    torch.set_num_threads(1)
    workload = Watching(Watch())
    chosen: Mapping[str, Any] = {
        "classes": ",".join(sorted(one.name for one in folder.iterdir())),
        **{"network": options.network, "size": options.pixels, "augmentation": "flip_shift"},
    }
    began = perf_counter()
    data = workload.training_data(chosen, folder)
    listed, bytes_listed = perf_counter() - began, memory.resident()
    local = LocalOptions(max_steps=options.steps)
    config = TrainConfig(1, options.batch, 0.01, seed=1, validation_samples=HELD_OUT, local=local)
    workload.local_update(workload.initial_weights(chosen, 1), data, chosen, config, lambda *_: True)
    watch = workload.watch
    first, *waited = watch.waited  # until processes have been started
    took = watch.took[1:]
    return Found(
        len(data), listed, bytes_listed, watch.bytes, watch.of_readers, len(watch.took), first, spread(waited),
        spread(took), sum(waited) / sum(took),
    )  # fmt: skip


def spread(seconds: Sequence[float]) -> list[float]:
    return [min(seconds), statistics.median(seconds), max(seconds)]


def show(found: Found) -> None:
    print(f"{found.images} images found in {found.listed:.0f} s; then {found.bytes_listed / 1e6:.0f} MB of memory")
    readers = f"{found.bytes_of_readers / 1e6:.0f} MB of them in processes that read"
    print(f"in training at most {found.bytes_trained / 1e6:.0f} MB, {readers}; allowed: {MOST_BYTES / 1e6:.0f} MB")
    print(f"the first batch came after {found.first:.2f} s; {found.steps - 1} steps follow:")
    for name, (least, middle, most) in (("a step", found.took), ("waiting for it", found.waited)):
        print(f"  {name}: {least:.3f}, {middle:.3f}, {most:.3f} s (shortest, median, longest)")
    print(f"the loader took {found.share:.1%} of the steps' time; allowed: {MOST_SHARE:.0%}")
    print(json.dumps(asdict(found) | {"holds": found.holds}))


if __name__ == "__main__":
    sys.exit(main())
