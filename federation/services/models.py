"""Global models: the initial one, and what is known of each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from federation import events, killpoints, storage, tags
from federation.errors import Conflict, Invalid, StorageFull
from federation.evaluator import Answer, evaluator
from federation.fl import workloads
from federation.fl.numbers import bounded
from federation.lifecycle import LIVE, FileStatus, SessionStatus
from federation.models import Event, GlobalModel, ModelTag, ServerEvent, TrainingSession
from federation.payloads import printable, storable
from federation.services import damage, making, steps
from federation.services.steps import Step, StepFailed

MAX_NOTE = 4000  # characters

log = logging.getLogger(__name__)


def adopt(session: TrainingSession, source: GlobalModel) -> GlobalModel:
    """Begin a session with another session's model: the same file, the same digest. Call inside a transaction."""
    return _publish_initial(
        session,
        source.digest,
        source.num_bytes,
        parent=source,
        metrics=source.metrics,
        evaluated_at=source.evaluated_at,
    )


def lacks_initial(session: TrainingSession) -> bool:
    return session.status in LIVE and not session.models.exists()


def request_missing(models_of: QuerySet[GlobalModel], *, limit: int = 8) -> None:
    """Have the models evaluated that were not yet. Answers arrive on another thread."""
    unmeasured = models_of.filter(evaluated_at=None, file_status=FileStatus.STORED)
    for model in unmeasured.select_related("session").order_by("pk")[:limit]:
        request = {
            "do": "evaluate",
            "workload": model.session.workload,
            "options": model.session.workload_options,
            "weights": str(storage.path(model.digest)),
            "digest": model.digest,
        }
        done = partial(_evaluated, model.pk, model.digest)
        _attempt_evaluation(model, partial(evaluator.submit, f"model {model.pk}", request, done))


def _evaluated(model_id: int, digest: str, answer: Answer) -> None:
    model = GlobalModel.objects.select_related("session").filter(pk=model_id).first()
    if model is not None:
        _attempt_evaluation(model, partial(_take_evaluation, model_id, digest, answer))


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


def request_initial(session: TrainingSession, then: Callable[[], None]) -> None:
    """Have version 0 made, from (workload, options, seed) alone. `then` is called when it is there."""
    if not lacks_initial(session):
        return
    if storage.is_full():  # the tick asks again
        return
    _attempt_initial(session, partial(_request_initial, session, then))


def _attempt_initial(session: TrainingSession, do: Callable[[], None]) -> None:
    """After the third failure for an unknown reason the session fails: it has nothing to train."""

    def give_up(reason: str) -> None:
        fail_initial(session.pk, reason, now=timezone.now())

    with suppress(StepFailed):
        steps.attempt(Step(session, "make the initial model"), do, give_up)


def _request_initial(session: TrainingSession, then: Callable[[], None]) -> None:
    workload = workloads.get(session.workload)
    if not workload.needs_torch:
        _write_initial(session)
        then()
        return
    file = storage.scratch_path()
    request = making.initial_request(session, file)
    evaluator.submit(f"initial model of session {session.pk}", request, partial(_made, session.pk, file, then))


def _write_initial(session: TrainingSession) -> None:
    try:
        with storage.scratch() as file, storage.refusing_when_full():
            digest = workloads.get(session.workload).write_initial(file, session.workload_options, session.seed)
            publish_initial(session.pk, file, digest, now=timezone.now())
    except StorageFull:
        log.warning("the initial model of session %s waits: the disk is full", session.pk)
    except (OSError, ValueError, ArithmeticError, MemoryError) as error:
        fail_initial(session.pk, f"The initial model could not be made: {error}.", now=timezone.now())


def _made(session_id: int, file: Path, then: Callable[[], None], answer: Answer) -> None:
    session = TrainingSession.objects.filter(pk=session_id).first()
    if session is None:
        log.info("session %s was deleted while its initial model was made", session_id)
    elif answer["ok"]:
        publish = partial(publish_initial, session_id, file, answer["digest"], now=timezone.now())
        _attempt_initial(session, publish)
    elif storage.is_full():
        log.warning("the initial model of session %s waits: the disk is full", session_id)
    else:
        reason = f"The initial model could not be made: {answer['error']}"
        fail_initial(session_id, reason, now=timezone.now())
    file.unlink(missing_ok=True)
    then()


@storage.keeping()
def publish_initial(session_id: int, file: Path, digest: str, *, now: datetime) -> None:
    """Store version 0. Done twice, the second time changes nothing: the same seed gives the same file."""
    session = TrainingSession.objects.filter(pk=session_id).first()
    if session is None:  # deleted while its model was being made
        return
    num_bytes = file.stat().st_size
    storage.put(file, digest)
    killpoints.reached(killpoints.Point.INITIAL_STORED)
    has_test = workloads.get(session.workload).needs_torch
    try:
        with transaction.atomic():
            _publish_initial(session, digest, num_bytes, evaluated_at=None if has_test else now)
    except IntegrityError:
        log.info("session %s has its initial model already", session_id)


def _publish_initial(session: TrainingSession, digest: str, num_bytes: int, **fields: Any) -> GlobalModel:
    model = GlobalModel.objects.create(session=session, version=0, digest=digest, num_bytes=num_bytes, **fields)
    events.record(session.pk, Event.Kind.MODEL_PUBLISHED, version=0, digest=digest, num_bytes=num_bytes, round=None)
    return model


@transaction.atomic
def fail_initial(session_id: int, reason: str, *, now: datetime) -> None:
    """A session whose initial model cannot be made has nothing to train."""
    fields = {"status": SessionStatus.FAILED, "reason": reason, "ended_at": now, "idle_since": None}
    if TrainingSession.objects.filter(pk=session_id, status__in=LIVE, models=None).update(**fields):
        events.record(session_id, Event.Kind.SESSION_FAILED, reason=reason)


@transaction.atomic
def record_evaluation(model_id: int, metrics: Mapping[str, float], *, error: str = "", now: datetime) -> None:
    """Keep what the central evaluation found, or why it could not be made: it is not tried again."""
    waiting = GlobalModel.objects.filter(pk=model_id, evaluated_at=None)
    found = {name: number for name, value in metrics.items() if (number := bounded(value)) is not None}
    error = printable(error, 500)
    if waiting.update(metrics=storable(found), evaluation_error=error, evaluated_at=now):
        model = GlobalModel.objects.get(pk=model_id)
        payload = {"version": model.version, "round": model.version or None, "metrics": found}
        events.record(model.session_id, Event.Kind.MODEL_EVALUATED, **payload | ({"error": error} if error else {}))


# ---- what people say of a model


@transaction.atomic
def tag(model: GlobalModel, name: str, *, by: str) -> None:
    """Put a tag on a model; its file is then kept for good.

    `production` moves: the model of the same workload that had it loses it. Raises Invalid for a word that cannot
    be, Conflict where the model carries it already.
    """
    (name,) = tags.check([name], field="tag") or [""]
    if not name:
        raise Invalid(("tag", "A tag needs a word, such as candidate or production."))
    if model.tags.filter(name=name).exists():
        raise Conflict(f"{_described(model)} carries the tag {name} already.")
    if model.tags.count() >= tags.MOST:
        raise Invalid(("tag", f"{_described(model)} carries {tags.MOST} tags; that is as many as there may be."))
    workload = model.session.workload
    before = None
    if name == ModelTag.PRODUCTION:
        held = ModelTag.objects.filter(workload=workload, name=name).select_related("model__session").first()
        before = _reference(held.model) if held else None
        ModelTag.objects.filter(workload=workload, name=name).delete()
    ModelTag.objects.create(model=model, name=name, workload=workload, added_by=by)
    events.record_server(ServerEvent.Kind.MODEL_TAGGED, model=_reference(model), tag=name, instead_of=before, by=by)


@transaction.atomic
def untag(model: GlobalModel, name: str, *, by: str) -> None:
    """Take a tag off. Raises Conflict where the model does not carry it."""
    if not model.tags.filter(name=name).delete()[0]:
        raise Conflict(f"{_described(model)} does not carry the tag {name}.")
    events.record_server(ServerEvent.Kind.MODEL_UNTAGGED, model=_reference(model), tag=name, by=by)


@transaction.atomic
def note(model: GlobalModel, text: str, *, by: str) -> None:
    """Write what is to be known of a model; an empty text takes the note away."""
    text = text.strip()
    if len(text) > MAX_NOTE:
        raise Invalid(("note", f"The note has {len(text)} characters: use up to {MAX_NOTE}."))
    if GlobalModel.objects.filter(pk=model.pk).exclude(note=text).update(note=text):
        model.note = text
        events.record_server(ServerEvent.Kind.MODEL_NOTED, model=_reference(model), by=by)


def _described(model: GlobalModel) -> str:
    return f"Model {model} of {model.session.name}"


def _reference(model: GlobalModel) -> dict[str, str | int]:
    """How a payload names a model."""
    return {"id": str(model.pk), "version": model.version, "session": str(model.session_id), "of": model.session.name}
