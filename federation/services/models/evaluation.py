"""The central evaluation of models, on the workload's own test set."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from federation import events, foreign, storage
from federation.compiled import Select
from federation.evaluator import Answer, evaluator
from federation.fl import early_stop
from federation.fl.numbers import bounded
from federation.lifecycle import KEPT
from federation.models import Event, GlobalModel
from federation.payloads import printable, storable
from federation.services import steps
from federation.services.models import damage
from federation.services.steps import Step, StepFailed

log = logging.getLogger(__name__)
AT_ONCE = 8  # models that are asked for


def _nothing(session_id: int) -> None:
    """What follows an evaluation for which no session waits."""


def _first_unmeasured(models_of: QuerySet[GlobalModel]) -> QuerySet[GlobalModel]:
    unmeasured = models_of.filter(evaluated_at=None, file_status__among=KEPT)
    return unmeasured.select_related("session").order_by("pk")[:AT_ONCE]


_unmeasured = Select(lambda: _first_unmeasured(GlobalModel.objects.all()))
_unmeasured_of = Select(lambda session: _first_unmeasured(GlobalModel.objects.filter(session=session)), int)


def request_missing(session_id: int | None = None, *, then: Callable[[int], None] = _nothing) -> None:
    """Have models evaluated that were not yet, of one session or of all. Answers arrive on another thread.

    then: called with the key of a session that waited for the answer.
    """
    for model in _unmeasured() if session_id is None else _unmeasured_of(session_id):
        request = {
            "do": "evaluate",
            "workload": model.session.workload,
            "options": model.session.workload_options,
            "weights": str(storage.path(model.digest)),
            "digest": model.digest,
            **foreign.member_of_request(model.session.workload),
        }
        done = partial(_evaluated, model.pk, model.digest, then=then)
        _attempt_evaluation(model, partial(evaluator.submit, f"model {model.pk}", request, done))


def _evaluated(model_id: int, digest: str, answer: Answer, then: Callable[[int], None] = _nothing) -> None:
    model = GlobalModel.objects.select_related("session").filter(pk=model_id).first()
    if model is not None:
        _attempt_evaluation(model, partial(_take_evaluation, model_id, digest, answer))
        if early_stop.by_server(model.session.early_stop):
            then(model.session_id)


def _attempt_evaluation(model: GlobalModel, do: Callable[[], None]) -> None:
    """After the third failure for an unknown reason the model stays unmeasured, with the reason."""

    def give_up(reason: str) -> None:
        record_evaluation(model.pk, {}, error=reason, now=timezone.now())

    with suppress(StepFailed):
        steps.attempt(Step(model.session, f"evaluate model {model}"), do, give_up)


def _take_evaluation(model_id: int, digest: str, answer: Answer) -> None:
    if answer.get("damaged"):  # evaluated when it has been made again
        damage.note([digest])
        return
    error = "" if answer["ok"] else str(answer["error"])
    if error:
        log.warning("model %s could not be evaluated: %s", model_id, error)
    record_evaluation(model_id, answer.get("metrics", {}), error=error, now=timezone.now())


@transaction.atomic
def record_evaluation(model_id: int, metrics: Mapping[str, float | None], *, error: str = "", now: datetime) -> None:
    """Keep what the central evaluation found, or why it could not be made: it is not tried again.

    A number that is not finite or beyond all bounds is an error, and the others are kept.
    """
    waiting = GlobalModel.objects.filter(pk=model_id, evaluated_at=None)
    found = {name: number for name, value in metrics.items() if (number := bounded(value)) is not None}
    error = printable(error or _unusable(metrics.keys() - found.keys()), 500)
    if waiting.update(metrics=storable(found), evaluation_error=error, evaluated_at=now):
        model = GlobalModel.objects.get(pk=model_id)
        payload = {"version": model.version, "round": model.version or None, "metrics": found}
        events.record(model.session_id, Event.Kind.MODEL_EVALUATED, **payload | ({"error": error} if error else {}))


def _unusable(names: Collection[str]) -> str:
    """Why there are no such numbers; empty for none."""
    listed = ", ".join(sorted(names))
    return f"The test set gave no usable number for {listed}: the model has diverged." if names else ""
