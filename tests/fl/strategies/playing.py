"""Rounds of one strategy through files, for tests that hold for every strategy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from federation.fl import aggregation, weights
from federation.fl.aggregation import Aggregated, UpdateFile
from federation.fl.strategies import build


@dataclass
class Rounds:
    """The rounds of one session. model: the last one's file; slots: what was kept with it."""

    folder: Path
    strategy: str
    options: Mapping[str, Any] = field(default_factory=dict)
    buffers: Sequence[str] | None = None
    model: Path | None = None
    slots: Path | None = None
    number: int = 0

    def begin(self, arrays: Mapping[str, Any]) -> "Rounds":
        self.model = self.folder / f"{self.strategy}-{id(self)}-0"
        weights.save(self.model, dict(arrays))
        return self

    def play(
        self,
        deltas: Sequence[Mapping[str, Any]],
        examples: Sequence[int] | None = None,
        metadata: Sequence[Mapping[str, str]] | None = None,
        staleness: Sequence[int] | None = None,
        population: int | None = None,
        learning_rate: float = 0.1,
    ) -> Aggregated:
        """One round more. metadata: of each update; by default each made ten steps and had a loss of 1.

        population: by default nobody else ever took part.
        """
        files = []
        for row, delta in enumerate(deltas):
            path = self.folder / f"update-{id(self)}-{row}"
            weights.save(path, dict(delta), metadata[row] if metadata else USUAL)
            files.append(UpdateFile(path, (examples or [1] * len(deltas))[row], staleness[row] if staleness else 0))
        self.number += 1
        out, slots = (self.folder / f"{self.strategy}-{id(self)}-{self.number}{end}" for end in ("", "-slots"))
        assert self.model is not None
        made = aggregation.aggregate(
            build(self.strategy, self.options),
            base=self.model,
            base_slots=self.slots,
            updates=files,
            out=out,
            out_slots=slots,
            buffers=self.buffers,
            population=len(deltas) if population is None else population,
            learning_rate=learning_rate,
            on_block=lambda: None,
        )
        self.model, self.slots = out, slots if made.slots_digest else None
        return made

    @property
    def arrays(self) -> weights.Weights:
        assert self.model is not None
        return weights.load(self.model)


USUAL = {"local_steps": "10", "base_train_loss": "1.0"}


def noise(seed: int, size: int, scale: float = 1.0) -> Any:
    return (np.random.default_rng(seed).standard_normal(size) * scale).astype(np.float32)
