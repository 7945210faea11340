"""The steps of a client's training: gradients of batches become steps of an optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from federation.fl.local_options import ClassWeights, LocalOptions, Precision
from federation.fl.torch_arrays import to_torch
from federation.fl.workloads.workload import Data, DataError, TrainConfig

if TYPE_CHECKING:
    import torch

Losses = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]  # outputs, labels -> (n,)


class Stepper:
    """Steps with one batch after another. losses: the workload's, of each example."""

    def __init__(self, network: torch.nn.Module, losses: Losses, data: Data, config: TrainConfig) -> None:
        """Raises DataError where the settings need classes and the data have none."""
        self._config, self._local = config, config.local
        self._parameters = _trained(network, config)
        self._optimizer = config.optimizer.over(self._parameters, config.learning_rate)
        self._loss = Objective(losses, data, config)
        self._forward = _compiled(network, self._local, config.device)
        self._mixed = self._local.precision == Precision.MIXED and config.device.startswith("cuda")
        self._base = _anchors(network, config) if self._local.proximal_mu else []
        self._corrections = _corrections(network, config)
        self._waiting = 0  # batches whose gradients are added up
        self.steps = 0  # of the optimizer

    def step(self, features: torch.Tensor, labels: torch.Tensor, *, is_last: bool) -> float:
        """Train on a batch, and return its mean loss. is_last: no batch follows that could complete a step."""
        if not self._waiting:
            self._optimizer.zero_grad()
        loss = self._mixed_loss(features, labels) if self._mixed else self._loss(self._forward(features), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self._waiting += 1
        if is_last or self._waiting == self._local.accumulate:
            self._move()
        return loss.item()

    def _mixed_loss(self, features: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        import torch

        with torch.autocast("cuda", torch.bfloat16):
            return self._loss(self._forward(features), labels)

    def _move(self) -> None:
        import torch

        if self._waiting > 1:
            for one in self._parameters:
                if one.grad is not None:
                    one.grad.div_(self._waiting)
        for corrected, correction in self._corrections:
            if corrected.grad is not None:
                corrected.grad.add_(correction)
        if self._base:
            self._hold_near_the_base()
        if self._local.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self._parameters, self._local.clip_norm)
        self._optimizer.step()
        self._waiting = 0
        self.steps += 1

    def _hold_near_the_base(self) -> None:
        """Add the gradient of mu / 2 ||w - base||^2."""
        for one, base in zip(self._parameters, self._base, strict=True):
            if one.grad is not None:
                one.grad.add_(one.detach() - base, alpha=self._local.proximal_mu)


def _trained(network: torch.nn.Module, config: TrainConfig) -> list[torch.nn.Parameter]:
    """The parameters that steps move. The others get no gradient. Raises DataError where none is left."""
    for name, one in network.named_parameters():
        if name in config.frozen:
            one.requires_grad_(False)
    found = [one for name, one in network.named_parameters() if name not in config.frozen]
    if not found:
        raise DataError("Every parameter of the network is frozen: nothing is left to train.")
    return found


def _anchors(network: torch.nn.Module, config: TrainConfig) -> list[torch.Tensor]:
    """What the proximal term holds each trained parameter to: its present value, or the anchor's."""
    import torch

    found = []
    for name, one in network.named_parameters():
        if name in config.frozen:
            continue
        if name in config.anchor:
            there = to_torch(name, config.anchor[name]).to(one.device, one.dtype)
            found.append(torch.reshape(there, one.shape))
        else:
            found.append(one.detach().clone())
    return found


def _corrections(network: torch.nn.Module, config: TrainConfig) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The parameters whose gradients are corrected, each with what is added."""
    import torch

    known = [(one, config.correction[name]) for name, one in network.named_parameters() if name in config.correction]
    return [(one, torch.tensor(array, dtype=one.dtype, device=one.device).reshape(one.shape)) for one, array in known]


class Objective:
    """The mean loss of a batch, with smoothed labels and weights of classes where a session asks for them."""

    def __init__(self, losses: Losses, data: Data, config: TrainConfig) -> None:
        """Raises DataError where classes are needed and the data have none."""
        self._losses, self._smoothing = losses, config.local.label_smoothing
        self._classes = len(data.label_names)
        weighted = config.local.class_weights != ClassWeights.NONE
        if (weighted or self._smoothing) and not (self._classes and data.labels.dtype.kind in "iu"):
            which = "class_weights" if weighted else "label_smoothing"
            raise DataError(f"{which} needs labels that are classes; this site's data have none. Set it back.")
        self._weights = _balanced(data, config.device) if weighted else None

    def __call__(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        found = self._losses(outputs, labels)
        if self._smoothing:
            found = (1 - self._smoothing) * found + self._smoothing * self._of_every_class(outputs, labels)
        if self._weights is None:
            return found.mean()
        weights = self._weights[labels]
        return (weights * found).sum() / weights.sum()

    def _of_every_class(self, outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The mean over all classes of each example's loss if it had that class, (n,) (Szegedy et al. 2016, eq. 5)."""
        import torch

        every = torch.arange(self._classes, device=labels.device, dtype=labels.dtype)
        repeated = outputs.repeat_interleave(self._classes, dim=0)
        return self._losses(repeated, every.repeat(len(labels))).view(len(labels), self._classes).mean(dim=1)


def _balanced(data: Data, device: str) -> torch.Tensor:
    """A weight for each class, (classes,) float32: examples / (classes that are there * its examples); 0 for others."""
    import numpy as np
    import torch

    counts = np.bincount(data.labels.astype(np.int64), minlength=len(data.label_names))
    there = max(int((counts > 0).sum()), 1)
    weights = np.divide(len(data), there * counts, out=np.zeros(len(counts)), where=counts > 0)
    return torch.from_numpy(weights.astype(np.float32)).to(device)


def _compiled(network: torch.nn.Module, local: LocalOptions, device: str) -> Callable[[torch.Tensor], torch.Tensor]:
    """The network as it is called: compiled on a GPU if that is asked for."""
    import torch

    if not local.compile or not device.startswith("cuda"):
        return network
    compiled: Callable[[torch.Tensor], torch.Tensor] = torch.compile(network)
    return compiled
