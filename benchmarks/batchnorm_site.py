"""A site of benchmarks/batchnorm.py, in whatever version of the agent's code stands first on the path.

Reads a JSON line a work and answers with the path of its update. The workload is here, for all versions alike.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federation.fl import workloads
from federation.fl.workloads import digit_images
from federation.fl.workloads.training import TorchWorkload
from federation.fl.workloads.workload import Data

if TYPE_CHECKING:
    import torch

DIGEST = "18" * 32  # the same code for everybody


class ResNet18(TorchWorkload):
    """He et al. 2015 (arXiv:1512.03385) with a first layer for small images, on scikit-learn's digits."""

    name = "resnet18"
    title = "ResNet-18"
    summary = "A ResNet-18 with BatchNorm on small images."
    train_defaults: Mapping[str, float] = {"epochs": 2, "batch_size": 16, "learning_rate": 0.05}

    def __init__(self, width: int) -> None:
        self.width = width

    def digest(self) -> str:
        return DIGEST

    def training_data(self, options: Mapping[str, Any], folder: Path | None) -> Data:
        return digit_images.load("train")

    def test_data(self, options: Mapping[str, Any]) -> Data:
        return digit_images.load("test")

    def network(self) -> torch.nn.Module:
        return _network(self.width)

    def losses(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs, labels, reduction="none")

    def predictions(self, outputs: torch.Tensor) -> torch.Tensor:
        return outputs.argmax(dim=1)


def _network(width: int) -> torch.nn.Module:
    from torch import nn
    from torch.nn.functional import relu

    class Block(nn.Module):
        def __init__(self, before: int, after: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
            self.bn1 = nn.BatchNorm2d(after)
            self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
            self.bn2 = nn.BatchNorm2d(after)
            same = stride == 1 and before == after
            shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
            self.shortcut = nn.Identity() if same else shortcut

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            inner = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
            return relu(inner + self.shortcut(x))

    widths = [width, width, 2 * width, 4 * width, 8 * width]
    stages = [
        nn.Sequential(Block(widths[n], widths[n + 1], 1 if n == 0 else 2), Block(widths[n + 1], widths[n + 1], 1))
        for n in range(4)
    ]
    stem = nn.Sequential(nn.Conv2d(1, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
    return nn.Sequential(stem, *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8 * width, 10))


def main(folder: str, shard: str, width: str) -> None:
    from clientagent.residuals import Residuals
    from clientagent.settings import Settings

    workloads.WORKLOADS[ResNet18.name] = ResNet18(int(width))  # type: ignore[index]
    settings = Settings(device="cpu", threads=1, partition="iid", shard=shard)
    Path(folder, "residuals").mkdir()
    residuals, (trainer, parse) = Residuals(Path(folder, "residuals")), _trainer(settings)
    for line in sys.stdin:
        asked = json.loads(line)
        out = Path(folder, "update")
        trainer.update(parse(asked["work"]), Path(asked["base"]), out, lambda *_: True, residuals)
        print(out, flush=True)


def _trainer(settings: Any) -> tuple[Any, Any]:
    """What trains, and what reads work for it."""
    try:
        from clientagent.data import SiteData
        from clientagent.device import Device
        from clientagent.kinds.training import Trainer, parse
    except ImportError:  # version 0.1.0
        from clientagent.training import Trainer as FirstTrainer

        from clientagent.work import parse as first_parse

        return FirstTrainer(settings), first_parse
    return Trainer(SiteData(settings), Device(settings.device, settings.threads)), parse


if __name__ == "__main__":
    main(*sys.argv[1:])
