"""What a client keeps of a session beside its updates, and how that changes what it trains.

It is one file with each update, in groups of tensors named `<group>/<name>`: what the session's strategy has it keep,
the tensors of the model that stay at the site, and a whole model of the site's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from clientagent.by_update import ByUpdate, LastUpdate
from clientagent.errors import Failed
from federation.fl import client_state, staying, weights
from federation.fl.client_state import Trained
from federation.fl.measures import PERSONAL
from federation.fl.strategies import ditto
from federation.fl.weights import Weights
from federation.fl.workloads.workload import LocalUpdate, TrainConfig

RULE, STAYS, OWN = "rule", "stays", "own"  # groups


Train = Callable[[Weights, TrainConfig], LocalUpdate]


@dataclass(frozen=True, slots=True)
class Kept:
    """What this client has kept. own: with its last counted update. sent: the strategy's slots."""

    files: ByUpdate
    own: Path | None
    sent: Path | None


class Asked(Protocol):
    """What of a training's work matters here."""

    @property
    def workload(self) -> str: ...
    @property
    def participation(self) -> str: ...
    @property
    def session_key(self) -> str: ...
    @property
    def config(self) -> Mapping[str, Any]: ...
    @property
    def buffers(self) -> tuple[str, ...]: ...
    @property
    def stays(self) -> tuple[str, ...]: ...
    @property
    def frozen(self) -> tuple[str, ...]: ...
    @property
    def last_update(self) -> LastUpdate | None: ...


def group(path: Path | None, name: str) -> Weights:
    """The tensors of a group in a file, by their names; none without a file."""
    if path is None:
        return {}
    parts = {whole.partition("/"): array for whole, array in weights.mapped(path).items()}
    return {tensor: array for (group, _, tensor), array in parts.items() if group == name}


def own_model(path: Path | None, model: Weights, stays: Sequence[str]) -> Weights | None:
    """This site's own model beside a shared one; None if it has none. path: what it kept."""
    if whole := group(path, OWN):
        return whole if whole.keys() == model.keys() else None
    own = {name: array for name, array in group(path, STAYS).items() if name in stays}
    return staying.personal(model, own) if own else None


class Keeping:
    """One training with what this client kept before it."""

    def __init__(self, work: Asked, kept: Kept | None) -> None:
        self._work, self._kept, self._rule = work, kept, client_state.rule_of(work.config)
        own, sent = (kept.own, kept.sent) if kept else (None, None)
        self._of_rule, self._sent = group(own, RULE), _slots(sent) if sent else {}
        self._own, self._model = group(own, STAYS), group(own, OWN)
        self._after_it: Weights = {}

    @property
    def trains_own(self) -> bool:
        """Whether the strategy wants a model of this site's own."""
        return ditto.LAMBDA in self._work.config

    @property
    def correction(self) -> Weights:
        """What is added to each gradient."""
        return self._rule.correction(self._of_rule, self._sent) if self._rule else {}

    def model(self, base: Weights) -> Weights:
        """What is trained from: the base model with this site's own tensors."""
        return staying.personal(base, {name: self._own[name] for name in self._work.stays if name in self._own})

    def train_own(self, base: Weights, config: TrainConfig, train: Train) -> dict[str, float]:
        """Train this site's own model, if the strategy wants one. Returns its metrics, named as such.

        base: the model that was received. config: of the usual training. train: makes an update.
        """
        if not self.trains_own:
            return {}
        before = self._model if self._model.keys() == base.keys() else base
        local = replace(config.local, proximal_mu=float(self._work.config[ditto.LAMBDA]))
        found = train(before, replace(config, local=local, anchor=base, correction={}))
        self._after_it = staying.trained(before, found.delta, before)
        return {f"{PERSONAL}{name}": value for name, value in found.metrics.items() if not name.startswith("base_")}

    def part(self, trained: LocalUpdate) -> LocalUpdate:
        """What of a training is sent. Raises Failed where it moved what is frozen."""
        for name in self._work.frozen:
            if name not in self._work.buffers and name in trained.delta and trained.delta[name].any():
                raise Failed(f"The workload {self._work.workload!r} trains {name!r}, which the session freezes.")
        unsent = {*self._work.stays, *self._work.frozen}
        delta = {name: array for name, array in trained.delta.items() if name not in unsent}
        return replace(trained, delta=delta)

    def keep(self, model: Weights, trained: LocalUpdate, learning_rate: float, digest: str) -> None:
        """Before the update is kept, so that it never is there without this. Raises Failed."""
        if self._kept is None:
            return
        own = self._own_after(model, trained)
        groups = {RULE: self._after(trained, learning_rate), STAYS: own, OWN: self._after_it}
        after = {f"{group}/{name}": array for group, arrays in groups.items() for name, array in arrays.items()}
        files, made = self._kept.files, LastUpdate(self._work.participation, digest)
        files.keep(self._work.session_key, made, self._work.last_update, weights.save(files.unfinished(), after))

    def _after(self, trained: LocalUpdate, learning_rate: float) -> Weights:
        if self._rule is None:
            return {}
        if not trained.local_steps:
            raise Failed(f"The workload {self._work.workload!r} does not tell its steps, which the strategy needs.")
        delta = client_state.in_float64(self.part(trained).delta, self._work.buffers)
        return self._rule.after(self._of_rule, self._sent, Trained(delta, trained.local_steps, learning_rate))

    def _own_after(self, model: Weights, trained: LocalUpdate) -> Weights:
        if lacking := sorted(set(self._work.stays) - model.keys()):
            raise Failed(f"{lacking[0]!r} is to stay here, but the model does not have it.")
        return staying.trained(model, trained.delta, self._work.stays)


def _slots(path: Path) -> Weights:
    """The slot that was sent, by tensor. Beside it the file holds the strategy's scalars."""
    named = {name.partition("/"): array for name, array in weights.mapped(path).items()}
    return {tensor: array for (slot, _, tensor), array in named.items() if slot != "scalar"}
