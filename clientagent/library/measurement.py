"""What a script measured, and a model that it is asked to measure, where its own loop does that."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import numpy as np

from clientagent.errors import Dropped, Failed
from clientagent.kinds import evaluation
from clientagent.kinds.evaluation import EvaluationWork
from clientagent.kinds.kind import Desk
from clientagent.library import models
from clientagent.library.handed import Held, Place
from clientagent.library.ranks import Came
from clientagent.progress import Progress
from clientagent.state import NUMBERS, Finished
from clientagent.work import finite
from federation import killpoints
from federation.fl.workloads import LocalEvaluation
from federation.killpoints import Point


class Measurement(Held):
    """Load the model, measure it, and `send` the numbers."""

    answer = "what it measured"

    def __init__(self, work: EvaluationWork, came: Came, place: Place) -> None:
        super().__init__(work.participation, came, place)
        self._work = work

    def send(self, metrics: Mapping[str, float], *, num_examples: int = 1) -> bool:
        """Send numbers by name, and return once the server has them. False if they are not needed or not taken."""
        if self._is_over:
            self._say("This model was measured, dropped or given up before; nothing is sent.")
            return False
        try:
            if self.dropped:
                raise Dropped
            found = LocalEvaluation(num_examples, dict(metrics), {})
            result = keep(self._place.desk, self._work, found, self._place.progress, with_counts=False)
            sent = self._place.desk.report(result, self._work, self._place.progress)
        except Dropped as error:
            self._drop(str(error))
            return False
        except Failed as error:
            self.give_up(str(error))
            return False
        self._end()
        self._say(f"{self}: result accepted ({evaluation.summary(sent)}).")
        return True

    def __str__(self) -> str:
        return f"Evaluating version {self.version} of {self.session}"


def keep(
    desk: Desk, work: EvaluationWork, found: LocalEvaluation, progress: Progress, *, with_counts: bool
) -> Finished:
    """Keep what was measured, so that it is sent and not measured again after a kill."""
    killpoints.reached(Point.EVALUATING)
    result = evaluation.as_json(found, with_counts=with_counts)
    desk.state.unfinished().write_bytes(result)
    kept = desk.keep(work.key, sha256(result).hexdigest(), progress, NUMBERS)
    killpoints.reached(Point.RESULT_KEPT)
    return kept


def as_evaluation(found: object, num_examples: int) -> LocalEvaluation:
    """What a script measured. num_examples: what counts if it does not say on how many."""
    if not isinstance(found, Mapping):
        raise Failed(f"evaluate= must return a dict of numbers by name, not {type(found).__name__}.")
    numbers = {str(name): value for name, value in found.items()}
    examples = numbers.pop("num_examples", num_examples)
    try:
        count = operator.index(examples)
    except TypeError:
        count = 0
    if count < 1:
        raise Failed(f"evaluate=: num_examples must be a whole number from 1 to 10^12, not {examples!r}.")
    counts = {name: _plain(value) for name, value in numbers.items() if np.ndim(value)}
    bare = {name: models.detached(value) for name, value in numbers.items() if name not in counts}
    metrics = {name: math.nan if value is None else value for name, value in finite("evaluate=", bare).items()}
    return LocalEvaluation(count, metrics, counts)


def _plain(value: Any) -> Any:
    """Lists in place of an array or a tensor of any library."""
    return value.tolist() if hasattr(value, "tolist") else value
