"""The engine behind NVFlare's Client API: what a script asks for is work, and what it sends is that work's answer."""

from __future__ import annotations

import contextlib
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from clientagent.errors import Ends
from clientagent.hosts.nvflare.door import FLModel, MakesFLModel
from clientagent.hosts.nvflare.points import Points, numbers
from clientagent.library.measurement import Measurement
from clientagent.library.seat import SeatWork
from clientagent.library.work import Work
from federation.fl import measures

TRAIN, VALIDATE, SUBMIT_MODEL = "train", "validate", "submit_model"
JOB, SITE, CONFIGS, STEPS = "job_id", "site_name", "configs", "NUM_STEPS_CURRENT_ROUND"  # nvflare's words
EXCHANGE = {
    "train_with_eval": False,
    "transfer_type": "FULL",
    "train_task_name": TRAIN,
    "eval_task_name": VALIDATE,
    "submit_model_task_name": SUBMIT_MODEL,
}
Task = SeatWork | Measurement


class Slot:
    """tasks: what this site is to do. site: its name. read: a model's file, as tensors by name.

    anew: each piece of work ends the script's run. A session is nvflare's job: another one ends a run in any case, so
    that nothing that the script keeps passes from one to the other.
    """

    def __init__(
        self,
        tasks: Iterator[Task],
        site: str,
        make: MakesFLModel,
        read: Callable[[Path], Mapping[str, Any]],
        say: Callable[[str], None],
        *,
        anew: bool = False,
    ) -> None:
        self._tasks = tasks
        self._site = site
        self._make = make
        self._read = read
        self._say = say
        self._anew = anew
        self._next: Task | None = None  # it belongs to the next run
        self._said: set[str] = set()
        self.has_worked = False
        self.is_done = False  # there is no more work
        self.ends: Ends | None = None  # why this site ends
        self.begin()

    # ---- for the host

    def begin(self) -> None:
        """A run of the script begins."""
        self._task: Task | None = None
        self._session = ""
        self._model: FLModel | None = None  # of the task, once it was received
        self._came_around = False
        self._points = Points(None)
        self.has_asked = False
        self.is_told_to_end = False

    @property
    def task(self) -> Task | None:
        """What the script was handed out and has not answered."""
        return None if self._task is None or self._task.is_over else self._task

    @contextlib.contextmanager
    def _ending(self) -> Iterator[None]:
        """What ends this site is for the host: a script may catch any exception."""
        try:
            yield
        except Ends as error:
            self.ends, self.is_done = error, True

    # ---- what the script asks

    def is_running(self) -> bool:
        """Wait for work. False once the script should come to its end."""
        if not self._holds():
            return self._advance()
        self._came_around = self._model is not None
        return True

    def receive(self, timeout: float | None = None) -> FLModel | None:
        """The model of the present work; None once the script should come to its end. It waits as long as it takes."""
        skips = self._came_around  # its loop went on without an answer
        if (skips or not self._holds()) and not self._advance():
            return None
        if self._model is None:
            self._model = self._made()
        return self._model

    def _holds(self) -> bool:
        self.has_asked = True
        return not self.is_done and self.task is not None and not self.task.dropped

    def _advance(self) -> bool:
        """Come to the next work, if it is for this run."""
        if self._next is None and not self.is_done and not (self._anew and self._task is not None):
            with self._ending():
                self._next = next(self._tasks, None)
            self.is_done = self._next is None
        if self._next is None or self._session not in ("", self._next.session_id):
            self.is_told_to_end = True
            return False
        self._task, self._next = self._next, None
        self._session, self._model, self._came_around, self.has_worked = self._task.session_id, None, False, True
        self._points = Points(self._task.state if isinstance(self._task, Work) else None)
        return True

    def _made(self) -> FLModel:
        task = self._task
        assert task is not None
        return self._make(
            params_type="FULL",
            params=self._read(task.path),
            current_round=task.round - 1 if isinstance(task, Work) else None,  # nvflare's first round is 0
            meta={JOB: task.session_id, SITE: self._site, CONFIGS: {**task.options, **task.config}},
        )

    def init(self, rank: str | None = None, config: Any = None) -> None:
        """nvflare passes the rank of the process; there is one."""

    def is_train(self) -> bool:
        return isinstance(self._task, Work)

    def is_evaluate(self) -> bool:
        return isinstance(self._task, Measurement)

    def is_submit_model(self) -> bool:
        return False

    def get_task_name(self) -> str:
        return TRAIN if self.is_train() else VALIDATE if self.is_evaluate() else ""

    def system_info(self) -> dict[str, str]:
        return {JOB: self.get_job_id(), SITE: self._site}

    def get_config(self) -> dict[str, Any]:
        return self.system_info() | {"TASK_NAME": self.get_task_name(), "TASK_EXCHANGE": dict(EXCHANGE)}

    def get_job_id(self) -> str:
        return self._session

    def get_site_name(self) -> str:
        return self._site

    def clear(self) -> None:
        """A model that was sent is forgotten in any case."""

    def shutdown(self) -> None:
        """The script comes to its end by itself."""

    # ---- what the script says

    def log(self, key: str, value: Any, data_type: Any, **more: Any) -> None:
        """Points of the live curves. Never raises."""
        kind = str(getattr(data_type, "value", data_type))
        found = numbers(key, value, kind)
        if not found:
            self._say_once(f"Numbers that the script logs become curves. What it logs as {kind} stays here.")
        elif isinstance(self.task, Work):
            self.task.log(found, step=self._points.step(key, more.get("global_step")))

    def send(self, model: FLModel, clear_cache: bool = True) -> None:
        """Answer the present work. Raises ValueError for what is no answer, naming what is wrong."""
        task = self._task
        if task is None or self._model is None:
            raise ValueError("flare.send() answers a model. Call flare.receive() before it, once for each.")
        with self._ending():
            if isinstance(task, Work):
                self._send_update(task, model)
            else:
                self._send_numbers(task, model)
        self._model = None
        if clear_cache:  # as nvflare does: neither is needed any more
            model.params = model.optimizer_params = None

    def _send_update(self, work: Work, model: FLModel) -> None:
        if model.params is None:
            raise ValueError("flare.send() needs params after training: FLModel(params=...).")
        work.next_state = self._points.last or None
        work.send(
            model.params,
            num_examples=self._weight(model.meta or {}),
            metrics={_of_update(name): value for name, value in self._numbers(model.metrics or {}).items()},
            is_difference=model.params_type == "DIFF",
        )

    def _send_numbers(self, task: Measurement, model: FLModel) -> None:
        if not model.metrics:
            raise ValueError("flare.send() needs metrics after an evaluation: FLModel(metrics={...}).")
        found = self._numbers(model.metrics)
        count = self._weight(model.meta) if model.meta and STEPS in model.meta else 1
        task.send({measures.split(name)[1]: value for name, value in found.items()}, num_examples=count)

    def _weight(self, meta: Mapping[str, Any]) -> int:
        """By how much this site's update counts. Raises ValueError naming what it must be."""
        given = meta.get(STEPS)
        if given is None:
            self._say_once(f"The script sends no meta {STEPS}: this site's update counts as one example.")
            return 1
        whole = int(given) if isinstance(given, float) and given.is_integer() else given
        try:
            count = operator.index(whole)
        except TypeError:
            count = 0
        if count < 1:
            raise ValueError(f"meta {STEPS} must be a whole number from 1, not {given!r}.")
        return count

    def _numbers(self, given: Mapping[str, Any]) -> dict[str, float]:
        found = {str(name): _number(value) for name, value in given.items()}
        for name in (name for name, value in found.items() if value is None):
            self._say_once(f"The script's metric {name!r} is no number. It stays here.")
        return {name: value for name, value in found.items() if value is not None}

    def _say_once(self, sentence: str) -> None:
        if sentence not in self._said:
            self._say(sentence)
        self._said.add(sentence)


def _number(value: Any) -> float | None:
    """NaN for what is a number that is not finite, None for what is none."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else math.nan


def _of_update(name: str) -> str:
    """In nvflare, metrics beside params are of the model that was received; only a training loss cannot be."""
    prefix, bare = measures.split(name)
    return name if prefix == "train_" or prefix.startswith("base_") else f"base_val_{bare}"
