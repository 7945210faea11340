"""Global models: the initial one, and what is known of each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from federation import events, killpoints, storage
from federation.evaluator import Answer, evaluator
from federation.fl import workloads
from federation.lifecycle import LIVE, SessionStatus
from federation.models import Event, GlobalModel, TrainingSession

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
    for model in models_of.filter(evaluated_at=None).select_related("session").order_by("pk")[:limit]:
        request = {
            "do": "evaluate",
            "workload": model.session.workload,
            "options": model.session.workload_options,
            "weights": str(storage.path(model.digest)),
        }
        evaluator.submit(f"model {model.pk}", request, partial(_evaluated, model.pk))


def _evaluated(model_id: int, answer: Answer) -> None:
    if not answer["ok"]:
        log.warning("model %s could not be evaluated: %s", model_id, answer["error"])
    record_evaluation(model_id, answer.get("metrics", {}), now=timezone.now())


def request_initial(session: TrainingSession, then: Callable[[], None]) -> None:
    """Have version 0 made, from (workload, options, seed) alone. `then` is called when it is there."""
    if not lacks_initial(session):
        return
    workload = workloads.get(session.workload)
    if not workload.needs_torch:
        with storage.scratch() as file:
            digest = workload.write_initial(file, session.workload_options, session.seed)
            publish_initial(session.pk, file, digest, now=timezone.now())
        then()
        return
    file = storage.scratch_path()
    request = {
        "do": "initial",
        "workload": session.workload,
        "options": session.workload_options,
        "seed": session.seed,
        "out": str(file),
    }
    evaluator.submit(f"initial model of session {session.pk}", request, partial(_made, session.pk, file, then))


def _made(session_id: int, file: Path, then: Callable[[], None], answer: Answer) -> None:
    if answer["ok"]:
        publish_initial(session_id, file, answer["digest"], now=timezone.now())
    else:
        reason = f"The initial model could not be made: {answer['error']}"
        fail_initial(session_id, reason, now=timezone.now())
    file.unlink(missing_ok=True)
    then()


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
def record_evaluation(model_id: int, metrics: Mapping[str, float], *, now: datetime) -> None:
    """Keep what the central evaluation found. Empty metrics: it could not be made, and is not tried again."""
    waiting = GlobalModel.objects.filter(pk=model_id, evaluated_at=None)
    if waiting.update(metrics=dict(metrics), evaluated_at=now):
        model = GlobalModel.objects.get(pk=model_id)
        payload = {"version": model.version, "round": model.version or None, "metrics": dict(metrics)}
        events.record(model.session_id, Event.Kind.MODEL_EVALUATED, **payload)
