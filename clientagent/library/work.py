"""A piece of training that a script is asked to do, as it has it in its hands."""

from __future__ import annotations

import abc
from collections.abc import Iterable, Iterator, Mapping, Sized
from functools import cached_property
from types import TracebackType
from typing import Any, TypeVar

from clientagent.library import models
from clientagent.library.handed import Handed
from clientagent.library.leaving import Leaving
from clientagent.library.models import Model, Only
from clientagent.library.ranks import Came, Ranks
from clientagent.library.standing import Standing
from federation.fl.weights import Array

Batch = TypeVar("Batch")
NONE_LEFT = object()


class Work(Handed, abc.ABC):
    """One round's training. Load the model, train it, and `send` it.

    options: the script's own, with defaults. config: the session's epochs, batch_size, learning_rate, this work's seed,
    and what the strategy asks for. path: the model as a safetensors file, to be read only. state: what this site kept
    with its last update that counted. next_state: kept for the next work if this update counts; at first, `state`.

    As a context manager it gives its seat up if its block raises an exception, and the script continues. Where several
    processes train together, the exception ends the program: the others would wait for this one.
    """

    def __init__(self, came: Came, only: Only, leaving: Leaving, ranks: Ranks) -> None:
        super().__init__(came, only, leaving, ranks)
        self.state: Any = came.state
        self.next_state: Any = came.state
        self._step = 0
        self._has_steps = False

    def __enter__(self) -> Work:
        return self

    @abc.abstractmethod
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool: ...

    # ---- what came

    def load_into(self, model: Model) -> None:
        """Put the weights into a torch module, a state_dict or a dict of NumPy arrays.

        Raises ModelError naming a tensor that does not fit, before it changes any.
        """
        models.load(self.path, model, self._only)

    @cached_property
    def weights(self) -> dict[str, Array]:
        """The weights as NumPy arrays by name. They may be changed and sent; BF16 comes as float32."""
        return models.readable(self.path)

    # ---- while it trains

    def steps(self, loader: Iterable[Batch]) -> Iterator[Batch]:
        """The loader's batches, with word of how far the work is. Ends early once the work was dropped.

        Where several processes train together, it ends for all of them at the same step, at the latest when one has no
        further batch.
        """
        total = _length(loader)
        self._has_steps = True
        with self._leaving.gently():
            for done, batch in enumerate(self._batches(loader)):
                self._step += 1
                yield batch
                self._arrive((done + 1) / total if total else 0.0)

    def _batches(self, loader: Iterable[Batch]) -> Iterator[Batch]:
        batches = iter(loader)
        while True:
            batch: Any = next(batches, NONE_LEFT)
            here = max(self._stands(), Standing.EXHAUSTED if batch is NONE_LEFT else Standing.GOES_ON)
            together = self._ranks.most(here)
            if together == Standing.LEAVES:
                self._leaving.event.set()  # it may be another process that was asked to
            if together > Standing.EXHAUSTED:
                self._dropped = True
            if together:
                return
            yield batch

    @abc.abstractmethod
    def _arrive(self, fraction: float) -> None:
        """A step was done. fraction: of all steps."""

    @abc.abstractmethod
    def log(self, values: Mapping[str, Any] | None = None, /, *, step: int | None = None, **more: Any) -> None:
        """Add points to the live curves, one for each name. Never raises. Rank 0 alone has curves.

        step: how many batches were trained on so far; without it, those of `steps` or the calls of this function count.
        """

    # ---- what goes back

    @abc.abstractmethod
    def send(
        self,
        model: Model,
        *,
        num_examples: int,
        metrics: Mapping[str, Any] | None = None,
        is_difference: bool = False,
    ) -> bool:
        """Send what was trained, and return once the server has it. False if the work was dropped or given up.

        model: what `load_into` takes, or a path; it has exactly the tensors that came. num_examples: trained on.
        metrics: final numbers by name, such as `train_loss` or `val_accuracy`. is_difference: the tensors are what was
        added to those that came, as FedAvg's delta is. Where several processes train together, all of them call it, and
        what rank 0 gives is sent.
        Raises ModelError naming a tensor that is missing, further or misshapen, ValueError for another number.
        """

    @abc.abstractmethod
    def give_up(self, reason: str) -> None:
        """Let the server know that this work cannot be done, and why. Where several train together, rank 0 says so."""


def _length(loader: Iterable[Any]) -> int:
    """How many batches there are; 0 if that is not known, as of a data set that is a stream."""
    try:
        return len(loader) if isinstance(loader, Sized) else 0
    except (TypeError, NotImplementedError):
        return 0
