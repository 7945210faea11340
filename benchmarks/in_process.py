"""Sessions in this process: round after round, what clients trained becomes the next model, as at a server."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from federation.fl import aggregation, client_state, weights
from federation.fl.aggregation import Aggregated, UpdateFile
from federation.fl.client_state import Rule, Trained
from federation.fl.privacy.mechanism import Private
from federation.fl.strategies import Strategy
from federation.fl.weights import Weights
from federation.fl.workloads.workload import LocalUpdate, Workload


@dataclass(frozen=True, slots=True)
class Begun:
    """A round as its clients see it. sent: the slot that the strategy sends them. folder: of their updates."""

    number: int
    base: Weights
    sent: Weights
    folder: Path

    def file(self, client: int, update: LocalUpdate) -> UpdateFile:
        """A client's update as it is sent."""
        path = self.folder / f"update-{client}"
        told = {"local_steps": repr(update.local_steps), "base_train_loss": repr(update.base_train_loss)}
        weights.save(path, update.delta, told)
        return UpdateFile(path, update.num_examples, norm=_norm(update.delta))


Clients = Callable[[Begun], Sequence[UpdateFile]]


@dataclass(frozen=True, slots=True)
class Round:
    """What a round made. model: its file, which is there until the next round has ended."""

    number: int
    model: Path
    made: Aggregated


@dataclass(frozen=True)
class Session:
    """How models are made. seed: of the first model and of the strategy's choices. population, learning_rate: see
    `aggregate`. private: what each round has of differential privacy."""

    workload: Workload
    strategy: Strategy
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)  # of the workload
    population: int = 0
    learning_rate: float = 1.0
    private: Callable[[int], Private | None] = lambda number: None

    def rounds(self, count: int, folder: Path, clients: Clients) -> Iterator[Round]:
        """So many rounds. Raises AggregationError where one cannot be made."""
        buffers = self.workload.buffers(self.options)
        model, slots = folder / "model-0", None
        self.workload.write_initial(model, self.options, self.seed)
        for number in range(1, count + 1):
            out, out_slots = folder / f"model-{number}", folder / f"slots-{number}"
            made = aggregation.aggregate(
                self.strategy,
                base=model,
                base_slots=slots,
                updates=clients(Begun(number, weights.load(model), self._sent(slots), folder)),
                out=out,
                out_slots=out_slots,
                buffers=buffers,
                seed=(self.seed, number, 1),
                population=self.population,
                learning_rate=self.learning_rate,
                private=self.private(number),
                on_block=lambda: None,
            )
            yield Round(number, out, made)
            for old in (model, slots):
                if old is not None:
                    old.unlink()
            model, slots = out, out_slots if made.slots_digest else None

    def _sent(self, slots: Path | None) -> Weights:
        if slots is None or not self.strategy.sends:
            return {}
        mine = f"{self.strategy.sends}/"
        return {name.removeprefix(mine): one for name, one in weights.load(slots).items() if name.startswith(mine)}


@dataclass(frozen=True)
class Kept:
    """What a strategy has each client keep between its trainings, by number of the client."""

    rule: Rule | None
    learning_rate: float
    own: dict[int, Weights] = field(default_factory=dict)

    @classmethod
    def of(cls, strategy: Strategy, learning_rate: float) -> Kept:
        return cls(client_state.rule_of(strategy.client_config()), learning_rate)

    def correction(self, client: int, sent: Weights) -> Weights:
        return self.rule.correction(self.own.get(client, {}), sent) if self.rule else {}

    def keep(self, client: int, sent: Weights, update: LocalUpdate) -> None:
        if self.rule and update.local_steps:
            delta = client_state.in_float64(update.delta, ())
            trained = Trained(delta, update.local_steps, self.learning_rate)
            self.own[client] = self.rule.after(self.own.get(client, {}), sent, trained)


def _norm(delta: Weights) -> float:
    return math.sqrt(sum(float(np.square(value, dtype=np.float64).sum()) for value in delta.values()))
