"""Images in folders or in a CSV file, and the networks that are usual for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from federation.fl import sampling
from federation.fl.measures import Measure, counted, scores
from federation.fl.measures.classification import ACCURACY
from federation.fl.measures.loss import LOSS
from federation.fl.options import Option
from federation.fl.weights import Array
from federation.fl.workloads import copies, image_files, image_loading, marked, own, site_files, training, vision
from federation.fl.workloads.image_files import Images
from federation.fl.workloads.image_loading import FromFiles, Look
from federation.fl.workloads.own import OwnWorkload
from federation.fl.workloads.site_files import folder_of, misfit_of_classes, names_of
from federation.fl.workloads.workload import Data, source_digest

if TYPE_CHECKING:
    import torch

    from federation.fl.workloads.loading import Loader

SOURCE = source_digest(
    *(__file__, *training.SOURCES, own.__file__, image_files.__file__, image_loading.__file__),
    *(vision.__file__, marked.__file__, copies.__file__, site_files.__file__, sampling.__file__),
)
SMALL = 64  # pixels: a residual network for images of this size or smaller begins with a 3 x 3 convolution
NETWORKS = ("small_cnn", "resnet18", "resnet50", "mobilenet_v3_small", "efficientnet_b0", "vit_b_16")
PATCH = 16  # pixels of a vision transformer's patch
OPTIONS = (
    Option("classes", str, "no,yes", label="Classes", help="As folders or labels are called, with commas between."),
    Option("network", str, "small_cnn", choices=NETWORKS, help="The smaller, the faster. ResNet-18 is a good start."),
    Option(
        "normalization", str, "group", choices=("group", "batch"),
        help="Group: nothing to average. Batch: statistics are averaged; better with large batches.",
    ),
    Option("size", int, 64, minimum=16, maximum=1024, label="Size in pixels", help="Images are made square."),
    Option("grey", bool, False, label="Grey images", help="X-rays and the like, also with 16 bits."),
    Option(
        "augmentation", str, "none", choices=("none", "flip", "flip_shift"),
        help="Changes at random in training: mirrored, or mirrored and moved.",
    ),
    Option("multi_label", bool, False, label="Several labels", help="An image may have several, as a;b in a CSV file."),
)  # fmt: skip


class ImageWorkload(OwnWorkload):
    """Folders that are called like the classes, or one CSV file with the columns path, label and perhaps group."""

    name = "images"
    title = "Images"
    summary = "Your own images, in a folder for each class or in a CSV file, with a network that is chosen here."
    options: tuple[Option, ...] = OPTIONS
    measures: tuple[Measure, ...] = (ACCURACY, LOSS)
    is_read_by_options = True
    train_defaults: Mapping[str, float] = {"epochs": 1, "batch_size": 32, "learning_rate": 0.01}
    evaluation_batch = 64

    def digest(self) -> str:
        return SOURCE

    def problem(self, options: Mapping[str, Any]) -> tuple[str, str] | None:
        if wrong := misfit_of_classes(names_of(options["classes"])):
            return wrong
        if options["network"] == "vit_b_16" and options["size"] % PATCH:
            return "size", f"size must be a multiple of {PATCH} for vit_b_16."
        return None

    def model(self, options: Mapping[str, Any]) -> torch.nn.Module:
        return _network(options)

    def data(self, options: Mapping[str, Any], folder: Path | None) -> Data:
        where = folder_of(folder, "are the images")
        return image_files.find(where, names_of(options["classes"]), several=options["multi_label"])

    def loader(self, data: Data, device: str) -> Loader:
        assert isinstance(data, Images)
        chosen = self._chosen
        return FromFiles(data, Look(chosen["size"], chosen["grey"], chosen["augmentation"]), device)

    def loss(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

        if labels.ndim == 2:
            return binary_cross_entropy_with_logits(outputs, labels, reduction="none")
        return cross_entropy(outputs, labels, reduction="none")

    def odds(self, outputs: Array) -> Array:
        return outputs if self._chosen["multi_label"] else scores.of_softmax(outputs)

    def counts(self, outputs: torch.Tensor, data: Data) -> dict[str, Any]:
        if data.labels.ndim == 2:
            return counted.of_labels(data.labels, self.odds(outputs.float().numpy()))
        return super().counts(outputs, data)

    def measure(self, outputs: torch.Tensor, labels: torch.Tensor) -> Mapping[str, float]:
        """Accuracy; of several labels, over all of them."""
        found = (outputs > 0) == (labels > 0) if labels.ndim == 2 else outputs.argmax(dim=1) == labels
        return {"accuracy": found.double().mean().item()}


def _network(options: Mapping[str, Any]) -> torch.nn.Module:
    """(n, 3, size, size) -> (n, classes) logits."""
    name, count = options["network"], len(names_of(options["classes"]))
    norm = _group_norm if options["normalization"] == "group" else None
    if name == "small_cnn":
        return _small(count, norm)
    known: dict[str, Any] = {"num_classes": count}
    if name == "vit_b_16":  # it has layer normalization
        known["image_size"] = options["size"]
    elif norm is not None:
        known["norm_layer"] = norm
    network: torch.nn.Module = getattr(vision.models(), name)(**known)
    return _for_small_images(network) if name.startswith("resnet") and options["size"] <= SMALL else network


def _group_norm(channels: int) -> torch.nn.Module:
    """At most 32 groups of equal size (Wu and He 2018, arXiv:1803.08494)."""
    from torch import nn

    return nn.GroupNorm(math.gcd(32, channels), channels)


def _small(classes: int, norm: Any) -> torch.nn.Module:
    """Three convolutions with 32, 64 and 128 channels, each halved by pooling."""
    from torch import nn

    layers: list[nn.Module] = []
    for before, after in ((3, 32), (32, 64), (64, 128)):
        made = (norm or nn.BatchNorm2d)(after)
        layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), made, nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, classes))


def _for_small_images(network: Any) -> torch.nn.Module:
    """Without the first reductions by four, which leave little of a small image (He et al. 2016, section 4.2)."""
    from torch import nn

    network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    whole: torch.nn.Module = network
    return whole
