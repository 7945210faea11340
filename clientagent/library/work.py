"""A piece of training that a script is asked to do."""

from __future__ import annotations

import contextlib
import math
import operator
import os
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sized
from functools import cached_property
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, TypeVar

from clientagent.errors import Dropped, Failed
from clientagent.kinds import training
from clientagent.kinds.kind import Desk
from clientagent.kinds.training import TrainingWork
from clientagent.library import models
from clientagent.library.handed import Handed, Place
from clientagent.library.models import Diverged, Model
from clientagent.link import duration
from clientagent.state import Finished
from federation import killpoints
from federation.fl import encodings, weights
from federation.fl.weights import Array
from federation.killpoints import Point

Batch = TypeVar("Batch")
MOST_EXAMPLES = 10**12
LONGEST_CURVE, LONGEST_METRIC = 64, 100  # names that a server takes


class Work(Handed):
    """One round's training. Load the model, train it, and `send` it.

    options: the script's own, with defaults. config: the session's epochs, batch_size, learning_rate, this work's seed,
    and what the strategy asks for. path: the model as a safetensors file, to be read only. next_state: kept for the
    next work if this update counts; at first, `state`.

    As a context manager it gives its seat up if its block raises an exception, and the script continues.
    """

    answer = "an update"

    def __init__(self, work: TrainingWork, options: Mapping[str, Any], path: Path, place: Place) -> None:
        super().__init__(work, work.base.version, options, path, place)
        self._work = work
        self.state: Any = place.memory.before(work, place.last)
        self.next_state: Any = self.state
        self._began = monotonic()
        self._step = 0
        self._has_steps = False
        self._loss: float | None = None
        self._has_complained = False

    def __enter__(self) -> Work:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self._say("".join(traceback.format_exception(error)))
        self.give_up(sentence(error))
        return True

    # ---- what came

    def load_into(self, model: Model) -> None:
        """Put the weights into a torch module, a state_dict or a dict of NumPy arrays.

        Raises ModelError naming a tensor that does not fit, before it changes any.
        """
        models.load(self.path, model, self._place.only)

    @cached_property
    def weights(self) -> dict[str, Array]:
        """The weights as NumPy arrays by name. They may be changed and sent; BF16 comes as float32."""
        return models.readable(self.path)

    # ---- while it trains

    def steps(self, loader: Iterable[Batch]) -> Iterator[Batch]:
        """The loader's batches, with word of how far the work is. Ends early once the work was dropped."""
        total = _length(loader)
        self._has_steps = True
        with self._place.leaving.gently():
            for done, batch in enumerate(loader):
                if self.dropped:
                    return
                self._step += 1
                yield batch
                self._arrive((done + 1) / total if total else 0.0)

    def log(self, values: Mapping[str, Any] | None = None, /, *, step: int | None = None, **more: Any) -> None:
        """Add points to the live curves, one for each name. Never raises.

        step: how many batches were trained on so far; without it, those of `steps` or the calls of this function count.
        """
        if not self._has_steps:
            self._step += 1
        try:
            given = {**(values or {}), **more}
            numbers = {_name(name, LONGEST_CURVE): float(value) for name, value in given.items()}
            self._place.progress.points(self._step if step is None else max(0, operator.index(step)), numbers)
        except Exception as error:  # a curve is not worth the work
            self._complain(f"Points of the curves are left out: {type(error).__name__}: {error}.")
            return
        self._loss = numbers.get("train_loss", numbers.get("loss"))
        if not self._has_steps:
            self._arrive(0.0)

    def _arrive(self, fraction: float) -> None:
        killpoints.reached(Point.TRAINING)
        self._place.desk.display.at("training", fraction, self._loss)
        with contextlib.suppress(Dropped):  # `dropped` says so
            self._place.progress.at("training", fraction)

    def _complain(self, text: str) -> None:
        if not self._has_complained:
            self._say(text)
        self._has_complained = True

    # ---- what goes back

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
        added to those that came, as FedAvg's delta is.
        Raises ModelError naming a tensor that is missing, further or misshapen, ValueError for another number.
        """
        metadata = training.metadata_of(_examples(num_examples), _numbers(metrics or {}), self._work.base.digest)
        if self._is_over:
            self._say("This work was sent, dropped or given up before; nothing is sent.")
            return False
        try:
            tensors = models.shared(model, self._place.only)
            update = self._make(tensors, metadata, is_difference=is_difference)
            return self._upload(update)
        except Dropped as error:
            self._drop(str(error))
        except (Diverged, Failed) as error:
            self.give_up(str(error))
        return False

    def _make(self, tensors: Mapping[str, Any], metadata: Mapping[str, str], *, is_difference: bool) -> Finished:
        if self.dropped:
            raise Dropped("The server no longer needs this work, or the script is leaving.")
        place, work = self._place, self._work
        digest = write_update(work, tensors, self.path, metadata, place.desk, is_difference=is_difference)
        killpoints.reached(Point.TRAINED)
        if self.next_state is not None:
            place.memory.keep(work, place.last, digest, self.next_state)
        update = place.desk.keep(work.key, digest, place.progress)
        killpoints.reached(Point.UPDATE_KEPT)
        return update

    def _upload(self, update: Finished) -> bool:
        self._place.desk.upload(update, self._work, self._place.progress)
        killpoints.reached(Point.REPORTED)
        self._end()
        size, seconds = update.path.stat().st_size / 1e6, monotonic() - self._began
        self._say(f"{self}: update accepted ({size:.3g} MB after {duration(seconds)}).")
        return True


def write_update(
    work: TrainingWork,
    tensors: Mapping[str, Any],
    base: Path,
    metadata: Mapping[str, str],
    desk: Desk,
    *,
    is_difference: bool = False,
) -> str:
    """Write the difference to the base where unfinished results are, encoded if that is asked for and known here."""
    out = desk.state.unfinished()
    if work.encoding not in encodings.ENCODINGS or work.encoding == encodings.NONE.name:
        return models.write_difference(out, tensors, base, metadata, is_difference=is_difference)
    bare = out.with_name("difference.tmp")
    try:
        models.write_difference(bare, tensors, base, metadata, is_difference=is_difference)
        difference = weights.mapped(bare)
        for array in difference.values():
            array.flags.writeable = False  # what is written there would stay in memory
        seed = int(work.config.get("seed", 0))
        return training.encode(work, seed, difference, metadata, out, desk.state.residuals)
    finally:
        bare.unlink(missing_ok=True)


def sentence(error: BaseException, file: str = "") -> str:
    """What went wrong in a script, and in which line. file: the script's, whose line counts if it is on the way."""
    frames = traceback.extract_tb(error.__traceback__)
    theirs = [frame for frame in frames if not file or frame.filename == file] or frames
    where = f" ({os.path.basename(theirs[-1].filename)}, line {theirs[-1].lineno})" if theirs else ""
    return f"{type(error).__name__}: {error}{where}"


def _examples(given: Any) -> int:
    try:
        number = operator.index(given)
    except TypeError:
        number = 0
    if not 1 <= number <= MOST_EXAMPLES:
        raise ValueError(f"num_examples must be a whole number from 1 to 10^12, not {given!r}.")
    return number


def _numbers(given: Mapping[str, Any]) -> dict[str, float]:
    """Raises ValueError naming what is no number."""
    numbers = {}
    for name, value in given.items():
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(f"metrics: {name!r} must be a number, not {value!r}.") from None
        numbers[_name(name, LONGEST_METRIC)] = number if math.isfinite(number) else math.nan
    return numbers


def _name(given: object, longest: int) -> str:
    """Raises ValueError for a name that a server does not take: an update is not to fail for it once it is trained."""
    name = str(given)
    if not name.strip() or len(name) > longest or not name.isprintable():
        raise ValueError(f"The name {name[:longest]!r} must have 1 to {longest} printable characters.")
    return name


def _length(loader: Iterable[Any]) -> int:
    """How many batches there are; 0 if that is not known, as of a data set that is a stream."""
    try:
        return len(loader) if isinstance(loader, Sized) else 0
    except (TypeError, NotImplementedError):
        return 0
