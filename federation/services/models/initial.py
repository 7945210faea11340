"""Version 0 of a session: made from the seed by this process or the evaluator, or taken from another session."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from federation import events, killpoints, storage
from federation.compiled import Rows
from federation.errors import StorageFull
from federation.evaluator import Answer, evaluator
from federation.fl import roles, staying, strategies, weights, workloads
from federation.fl.files.uploaded import misfit
from federation.fl.privacy import mechanism
from federation.fl.weights import Header, WeightsError
from federation.lifecycle import LIVE, FileStatus, Origin, SessionStatus
from federation.models import Event, GlobalModel, ModelUpload, TrainingSession
from federation.services import privacy, steps
from federation.services.models import buffers, building, lineage
from federation.services.steps import Step, StepFailed
from federation.work import initialisation
from federation.work.declared import own

log = logging.getLogger(__name__)
_any_model = Rows(lambda session: GlobalModel.objects.filter(session=session).order_by().values_list("pk")[:1], int)


def adopt(session: TrainingSession, source: GlobalModel, *, with_slots: bool = True) -> GlobalModel:
    """Begin a session with another session's model: the same file, the same digest. Call inside a transaction.

    with_slots: with the same strategy it takes the optimizer's state along, if that is still there and holds the same.
    """
    same = with_slots and _kept(session) == _kept(source.session)
    continues = with_slots and lineage.continues(session, source)
    if strategies.STRATEGIES[session.strategy].keeps_at_clients:  # both sides continue, or both begin anew
        same = continues = continues and _has_slots(source)
    if continues:
        session.earlier_clients = lineage.earlier_clients(source)
        session.save(update_fields=["earlier_clients"])
    slots = source.slots_digest if same and _has_slots(source) else ""
    return _publish_initial(
        session,
        source.digest,
        source.num_bytes,
        buffers.of_model(source),
        origin=Origin.ADOPTED,
        parent=source,
        slots_digest=slots,
        metrics=source.metrics,
        evaluation_error=source.evaluation_error,
        evaluated_at=source.evaluated_at,
    )


def _has_slots(model: GlobalModel) -> bool:
    """Whether the file of what the strategy keeps with it is there."""
    return bool(model.slots_digest) and storage.exists(model.slots_digest)


def _kept(session: TrainingSession) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """What a session's strategy keeps with each model, and its clip, where that adapts."""
    strategy, clipping = strategies.build(session.strategy, session.strategy_options), privacy.clipping_of(session)
    scalars = mechanism.kept(clipping) if clipping else ()
    return strategy.name, strategy.slots, (*strategy.scalars, *scalars)


def lacks_initial(session: TrainingSession) -> bool:
    return session.status in LIVE and not _any_model(session.pk)


def request_initial(session: TrainingSession, then: Callable[[], None]) -> None:
    """Have version 0 made, from (workload, options, seed) alone. `then` is called when it is there."""
    if not lacks_initial(session) or initialisation.is_needed(session):  # a site is asked for it
        return
    if storage.is_full():  # the tick asks again
        return
    _attempt_initial(session, partial(_request_initial, session, then))


class Unfit(ValueError):
    """The model does not have the tensors that are to stay or be frozen. str(error) is a sentence for a person.

    field: the setting that names them, `stays` or `frozen`.
    """

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence)
        self.field = field


@dataclass(frozen=True, slots=True)
class SiteModel:
    """A model's file that a site sent, in the store already."""

    digest: str
    num_bytes: int
    buffers: Sequence[str]


def publish_from_site(session: TrainingSession, model: SiteModel, *, now: datetime) -> None:
    """Begin a session with a site's weights. Call inside a transaction. Raises Unfit."""
    _publish_initial(session, model.digest, model.num_bytes, model.buffers, origin=Origin.SITE, evaluated_at=now)


def _publish_upload(session: TrainingSession, upload: ModelUpload) -> None:
    """Begin with an uploaded file that the server has nothing to compare with."""
    now = timezone.now()
    if upload.file_status != FileStatus.STORED:
        fail_initial(session.pk, f"The file of the uploaded model {upload} is {upload.file_status}.", now=now)
        return
    about: dict[str, Any] = {"origin": Origin.UPLOAD, "evaluated_at": now}
    try:
        with suppress(IntegrityError), transaction.atomic():  # it has its model already
            _publish_initial(session, upload.digest, upload.num_bytes, upload.buffers, **about)
    except Unfit as error:
        fail_initial(session.pk, str(error), now=now)


def _attempt_initial(session: TrainingSession, do: Callable[[], None]) -> None:
    """After the third failure for an unknown reason the session fails: it has nothing to train."""

    def give_up(reason: str) -> None:
        fail_initial(session.pk, reason, now=timezone.now())

    with suppress(StepFailed):
        steps.attempt(Step(session, "make the initial model"), do, give_up)


def _request_initial(session: TrainingSession, then: Callable[[], None]) -> None:
    if own(session) is None:
        if session.initial_model is not None:
            _publish_upload(session, session.initial_model)
            then()
        return
    workload = workloads.get(session.workload)
    if not workload.needs_torch:
        _write_initial(session)
        then()
        return
    file = storage.scratch_path()
    request = building.initial_request(session, file)
    evaluator.submit(f"initial model of session {session.pk}", request, partial(_made, session.pk, file, then))


def _write_initial(session: TrainingSession) -> None:
    try:
        workload = workloads.get(session.workload)
        declared = workload.buffers(session.workload_options)
        with storage.scratch() as file, storage.refusing_when_full():
            digest = workload.write_initial(file, session.workload_options, session.seed)
            publish_initial(session.pk, file, digest, declared=declared, now=timezone.now())
    except StorageFull:
        log.warning("the initial model of session %s waits: the disk is full", session.pk)
    except (OSError, ValueError, ArithmeticError, MemoryError) as error:
        fail_initial(session.pk, f"The initial model could not be made: {error}.", now=timezone.now())


def _made(session_id: int, file: Path, then: Callable[[], None], answer: Answer) -> None:
    session = TrainingSession.objects.filter(pk=session_id).first()
    if session is None:
        log.info("session %s was deleted while its initial model was made", session_id)
    elif answer["ok"]:
        made: dict[str, Any] = {"digest": answer["digest"], "declared": answer["buffers"], "now": timezone.now()}
        _attempt_initial(session, partial(publish_initial, session_id, file, **made))
    elif storage.is_full():
        log.warning("the initial model of session %s waits: the disk is full", session_id)
    else:
        reason = f"The initial model could not be made: {answer['error']}"
        fail_initial(session_id, reason, now=timezone.now())
    file.unlink(missing_ok=True)
    then()


@storage.keeping()
def publish_initial(
    session_id: int, file: Path, digest: str, *, declared: Collection[str] | None = None, now: datetime
) -> None:
    """Store version 0 and fix the roles of its tensors. A session with an uploaded model begins with that one.

    declared: the workload's buffers; None if it cannot be asked, see `fl.roles`. Done twice, the second time changes
    nothing: the same seed gives the same file.
    """
    session = TrainingSession.objects.select_related("initial_model").filter(pk=session_id).first()
    if session is None:  # deleted while its model was being made
        return
    header, origin = weights.read_header(file), Origin.SEED
    if session.initial_model is not None:
        uploaded_header = _uploaded(session, session.initial_model, header, now)
        if uploaded_header is None:
            return
        digest, header, origin = session.initial_model.digest, uploaded_header, Origin.UPLOAD
    else:
        storage.put(file, digest)
    killpoints.reached(killpoints.Point.INITIAL_STORED)
    known = workloads.WORKLOADS.get(session.workload)  # a foreign one may have gone since
    has_test = known is not None and known.needs_torch and not session.stays
    try:
        with transaction.atomic():
            about = {"origin": origin, "evaluated_at": None if has_test else now}
            _publish_initial(session, digest, header.num_bytes, roles.buffers(header, declared), **about)
    except IntegrityError:
        log.info("session %s has its initial model already", session_id)
    except Unfit as error:
        fail_initial(session_id, str(error), now=now)


def _uploaded(session: TrainingSession, upload: ModelUpload, expected: Header, now: datetime) -> Header | None:
    """The header of the file to begin with. None, and the session has failed, where it is not the workload's model."""
    try:
        with storage.local(upload.digest) as file:
            found = weights.read_header(file)
        why = misfit(expected, found)
    except (OSError, WeightsError):
        found, why = None, "Its file is damaged or missing."
    if why:
        fail_initial(session.pk, f"The uploaded model {upload} is not one of {session.workload}. {why}", now=now)
        return None
    return found


def _publish_initial(
    session: TrainingSession, digest: str, num_bytes: int, statistics: Sequence[str], **fields: Any
) -> GlobalModel:
    stays, frozen = _unsent(session, digest, statistics)
    TrainingSession.objects.filter(pk=session.pk).update(
        buffers=statistics, staying_tensors=stays, frozen_tensors=frozen
    )
    model = GlobalModel.objects.create(session=session, version=0, digest=digest, num_bytes=num_bytes, **fields)
    events.record(session.pk, Event.Kind.MODEL_PUBLISHED, version=0, digest=digest, num_bytes=num_bytes, round=None)
    return model


def _unsent(session: TrainingSession, digest: str, statistics: Sequence[str]) -> tuple[list[str], list[str]]:
    """The model's tensors that stay at the sites, and those that nobody trains. Raises Unfit."""
    if not session.stays and not session.frozen:
        return [], []
    with storage.local(digest) as file:
        names = weights.read_header(file).tensors
    stays, frozen = (staying.matched(names, globs) for globs in (session.stays, session.frozen))
    for field, globs, others in (("stays", session.stays, frozen), ("frozen", session.frozen, stays)):
        if sentence := staying.problem(names, globs, [*statistics, *others]):
            raise Unfit(field, f"What stays or is frozen does not fit: {sentence}")
    return stays, [name for name in frozen if name not in stays]


@transaction.atomic
def fail_initial(session_id: int, reason: str, *, now: datetime) -> None:
    """A session whose initial model cannot be made has nothing to train."""
    fields = {"status": SessionStatus.FAILED, "reason": reason, "ended_at": now, "idle_since": None}
    if TrainingSession.objects.filter(pk=session_id, status__in=LIVE, models=None).update(**fields):
        events.record(session_id, Event.Kind.SESSION_FAILED, reason=reason)
