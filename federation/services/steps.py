"""Steps that fail for an unknown reason: counted, reported, and given up after the third failure.

Expected failures are not counted: a full disk, a lost lease, a database that is away. Nor is a killed process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import transaction

from federation import database, phrases, storage
from federation.models import Round, TrainingSession
from federation.payloads import printable

log = logging.getLogger(__name__)
T = TypeVar("T")

MOST_TRIES = 3
REASON = 300  # characters


class StepFailed(Exception):
    """A step failed and was counted. gave_up: it was the last time, and `give_up` was called."""

    def __init__(self, gave_up: bool) -> None:
        super().__init__()
        self.gave_up = gave_up


@dataclass(frozen=True, slots=True)
class Step:
    """Something that is tried for a session until it succeeds. does: "aggregate round 3", for "could not …"."""

    session: TrainingSession
    does: str
    round: Round | None = None

    @property
    def key(self) -> str:
        return self.does if self.round is None else f"{self.does} ({self.round.pk})"


def attempt(step: Step, do: Callable[[], T], give_up: Callable[[str], object]) -> T:
    """What `do` returns. An exception is counted; after the third, `give_up` is called with the reason, a sentence.

    Raises StepFailed after a failure. Failures that pass by themselves are raised unchanged.
    """
    try:
        done = do()
    except Exception as error:
        if database.is_away(error) or storage.is_full():
            raise
        raise StepFailed(_failed(step, error, give_up)) from error
    if step.key in step.session.failing:
        _forget(step)
    return done


def failing(session: TrainingSession, round_: Round | None) -> list[tuple[str, str]]:
    """The steps that are being tried again: what failed, and how often. round_: the session's active one."""
    active = None if round_ is None else round_.pk
    return [
        (told["sentence"], f"It failed {phrases.times(told['times'])} and is tried again.")
        for told in session.failing.values()
        if told["round"] in (None, active)
    ]


def _failed(step: Step, error: Exception, give_up: Callable[[str], object]) -> bool:
    """Count a failure. True if the step was given up."""
    sentence = f"The server could not {step.does}: {_described(error)}."
    log.error("session %s: %s", step.session.pk, sentence, exc_info=error)
    times = _count(step, sentence)
    if times < MOST_TRIES:
        return False
    try:
        give_up(f"{sentence} It was tried {times} times.")
    except Exception as another:
        if database.is_away(another):
            raise
        log.exception("session %s: the step could not be given up either", step.session.pk)
        return False
    _forget(step)
    return True


def _described(error: Exception) -> str:
    """The kind of an error and its text, on one line: 'ValueError: no such thing'."""
    text = printable(error, REASON).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@transaction.atomic
def _count(step: Step, sentence: str) -> int:
    """Note a failure in a transaction of its own, and forget those of earlier rounds. Returns how many there were."""
    row = TrainingSession.objects.select_for_update(of=("self",)).only("failing").filter(pk=step.session.pk).first()
    if row is None:  # deleted meanwhile
        return 0
    number = None if step.round is None else step.round.pk
    kept = {key: told for key, told in row.failing.items() if told["round"] in (None, number)}
    times = kept.get(step.key, {"times": 0})["times"] + 1
    _keep(step, kept | {step.key: {"round": number, "times": times, "sentence": sentence}})
    return int(times)


@transaction.atomic
def _forget(step: Step) -> None:
    row = TrainingSession.objects.select_for_update(of=("self",)).only("failing").filter(pk=step.session.pk).first()
    if row is not None and step.key in row.failing:
        _keep(step, {key: told for key, told in row.failing.items() if key != step.key})


def _keep(step: Step, failing: dict[str, Any]) -> None:
    TrainingSession.objects.filter(pk=step.session.pk).update(failing=failing)
    step.session.failing = failing
