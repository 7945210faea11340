"""A script's work in the process that talks to the server: its curves, its update, and its end."""

from __future__ import annotations

import contextlib
import math
import operator
import traceback
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any

from clientagent.errors import Dropped, Ends, Failed
from clientagent.kinds import training
from clientagent.kinds.kind import Desk
from clientagent.kinds.training import TrainingWork
from clientagent.library import models
from clientagent.library.handed import Held, Place
from clientagent.library.models import Diverged, Model
from clientagent.library.ranks import Came
from clientagent.library.work import Work
from clientagent.link import duration
from clientagent.state import Finished
from federation import killpoints
from federation.fl import encodings, weights
from federation.killpoints import Point

MOST_EXAMPLES = 10**12
LONGEST_CURVE, LONGEST_METRIC = 64, 100  # names that a server takes


class SeatWork(Held, Work):
    """Work whose seat this process holds."""

    answer = "an update"

    def __init__(self, work: TrainingWork, came: Came, place: Place) -> None:
        super().__init__(work.participation, came, place)
        self._work = work
        self._began = monotonic()
        self._loss: float | None = None
        self._has_complained = False
        self._ends: Ends | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        is_alone = self._ranks.size == 1
        if is_alone:
            self._say("".join(traceback.format_exception(error)))
        self.fail(error)
        return is_alone

    # ---- while it trains

    def log(self, values: Mapping[str, Any] | None = None, /, *, step: int | None = None, **more: Any) -> None:
        if not self._has_steps:
            self._step += 1
        try:
            given = {**(values or {}), **more}
            numbers = {_name(name, LONGEST_CURVE): float(models.detached(value)) for name, value in given.items()}
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
        sent, self._dropped = self._ranks.lead(
            lambda: self._send(model, num_examples, metrics or {}, is_difference=is_difference)
        )
        return sent

    def _send(
        self, model: Model, num_examples: int, metrics: Mapping[str, Any], *, is_difference: bool
    ) -> tuple[bool, bool]:
        """Whether it was sent, and whether it was dropped."""
        metadata = training.metadata_of(_examples(num_examples), _numbers(metrics), self._work.base.digest)
        if self._is_over:
            self._say("This work was sent, dropped or given up before; nothing is sent.")
            return False, self._dropped
        try:
            tensors = models.shared(model, self._only)
            self._upload(self._make(tensors, metadata, is_difference=is_difference))
            return True, False
        except Dropped as error:
            self._drop(str(error))
        except (Diverged, Failed) as error:
            self.give_up(str(error))
        except Ends as error:  # the program ends with that sentence when it asks for the next work
            self._ends = error
            self._end(dropped=True)
        return False, self._dropped

    def _make(self, tensors: Mapping[str, Any], metadata: Mapping[str, str], *, is_difference: bool) -> Finished:
        if self._is_unneeded:
            raise Dropped("The server no longer needs this work, or the script is leaving.")
        place, work = self._place, self._work
        digest = write_update(work, tensors, self.path, metadata, place.desk, is_difference=is_difference)
        killpoints.reached(Point.TRAINED)
        if self.next_state is not None:
            place.memory.keep(work, place.last, digest, self.next_state)
        update = place.desk.keep(work.key, digest, place.progress)
        killpoints.reached(Point.UPDATE_KEPT)
        return update

    def _upload(self, update: Finished) -> None:
        self._place.desk.upload(update, self._work, self._place.progress)
        killpoints.reached(Point.REPORTED)
        self._end()
        size, seconds = update.path.stat().st_size / 1e6, monotonic() - self._began
        self._say(f"{self}: update accepted ({size:.3g} MB after {duration(seconds)}).")

    def conclude(self) -> None:
        """As for each seat. Raises Ends if that is what came when it was sent."""
        if self._ends is not None:
            raise self._ends
        super().conclude()


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
            number = float(models.detached(value))
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
