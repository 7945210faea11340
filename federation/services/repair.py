"""Makes damaged models again: from the updates of their round, or from the seed. The digest must be the same."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from federation import events, reasons, storage
from federation.compiled import Select
from federation.errors import StorageFull
from federation.evaluator import Answer, evaluator
from federation.fl import workloads
from federation.fl.aggregation import AggregationError
from federation.fl.weights import WeightsError
from federation.lifecycle import FileStatus, Origin
from federation.models import Event, GlobalModel, Participation
from federation.services import rounds, steps
from federation.services.models import building, damage
from federation.services.seats import losses
from federation.services.steps import Step, StepFailed

log = logging.getLogger(__name__)
_damaged = Select(
    lambda session: (
        GlobalModel.objects.filter(session=session, file_status=FileStatus.DAMAGED)
        .select_related("session")
        .order_by("version")
    ),
    int,
)


def mend(session_id: int, then: Callable[[], None] = lambda: None) -> bool:
    """Make a session's damaged models again, the oldest first: the others may be made from it. True if any was mended.

    then: called when one is mended later, on another thread.
    """
    return any([_attempt(model, partial(_mend, model, then)) for model in _damaged(session_id)])


def _attempt(model: GlobalModel, do: Callable[[], bool]) -> bool:
    """Try to make a model again. After the third failure for an unknown reason the model is lost."""
    try:
        return steps.attempt(Step(model.session, f"make model {model} again"), do, partial(_lost, model))
    except StepFailed:
        return False


@storage.keeping()
def _mend(model: GlobalModel, then: Callable[[], None]) -> bool:
    if _is_there(model):  # put back by hand, or made again with another session's
        return _repaired(model)
    made_by = _made_by(model)
    try:
        if made_by.round is not None:
            return _from_updates(model, made_by)
        if made_by.origin in (Origin.UPLOAD, Origin.SITE):
            return _lost(model, "It was sent to this server, which cannot make it itself.")
        return _from_seed(model, made_by, then)
    except StorageFull:
        log.warning("model %s of session %s cannot be made again: the disk is full", model, model.session_id)
        return False


def _made_by(model: GlobalModel) -> GlobalModel:
    """The model whose session made this file: another one where a session began from it."""
    while model.round_id is None and model.parent is not None and model.parent.digest == model.digest:
        model = model.parent
    return model


def _from_updates(model: GlobalModel, made_by: GlobalModel) -> bool:
    round_ = made_by.round
    assert round_ is not None
    seats = list(building.counted(round_))
    lost = [seat for seat in seats if seat.file_status != FileStatus.STORED]
    bases = [round_.base, *(older for seat in seats if (older := building.other_base(round_, seat)))]
    gone = next((base for base in bases if base.file_status not in (FileStatus.STORED, FileStatus.DAMAGED)), None)
    if lost or gone:
        what = "its round's updates were removed" if lost else f"model {gone} is not there"
        return _lost(model, f"{what[0].upper()}{what[1:]}.")
    if any(base.file_status == FileStatus.DAMAGED for base in bases):  # this one's turn comes when that is made
        return False
    with (
        storage.scratch() as out,
        storage.scratch() as out_slots,
        storage.refusing_when_full(),
        storage.Check(building.files(round_, seats)) as check,
    ):
        made, failure = None, "What its round's updates make has another digest."
        try:
            made = building.make(round_, seats, out, out_slots, lambda: None)
        except (AggregationError, WeightsError, FileNotFoundError) as error:
            failure = str(error)
        if damaged := check.damaged(lambda: None):
            return _lose_updates(model, [seat for seat in seats if seat.digest in damaged], damaged)
        slots = made_by.slots_digest or model.slots_digest  # the maker's own may be of no more use to it
        if made is None or (made.digest, made.slots_digest or "") != (model.digest, slots):
            return _lost(model, failure)
        storage.put(out, made.digest)
        if made.slots_digest:
            storage.put(out_slots, made.slots_digest)
    return _repaired(model)


def _lose_updates(model: GlobalModel, seats: list[Participation], damaged: set[str]) -> bool:
    for seat in seats:
        losses.lose(seat, missing=not storage.exists(seat.digest))
    damage.note(damaged - {seat.digest for seat in seats})
    return _lost(model, "Files of its round are damaged too.") if seats else False


def _from_seed(model: GlobalModel, made_by: GlobalModel, then: Callable[[], None]) -> bool:
    session = made_by.session
    workload = workloads.WORKLOADS.get(session.workload)
    if workload is None:  # the file or package of a foreign one, which may come back
        log.warning("model %s of session %s waits: there is no workload %s here", model, session, session.workload)
        return False
    if workload.needs_torch:
        file = storage.scratch_path()
        request = building.initial_request(session, file)
        evaluator.submit(f"model {model.pk} again", request, partial(_made, model, file, then))
        return False
    with storage.scratch() as file, storage.refusing_when_full():
        digest = workload.write_initial(file, session.workload_options, session.seed)
        return _take(model, file, digest)


def _made(model: GlobalModel, file: Path, then: Callable[[], None], answer: Answer) -> None:
    if answer["ok"]:
        _attempt(model, partial(_take, model, file, answer["digest"]))
    elif answer.get("unusable"):  # the file of a foreign workload is broken; it may be mended
        log.warning("model %s of session %s waits: %s", model, model.session_id, answer["error"])
    elif not storage.is_full():
        _lost(model, str(answer["error"]))
    file.unlink(missing_ok=True)
    then()


@storage.keeping()
def _take(model: GlobalModel, file: Path, digest: str) -> bool:
    if digest != model.digest:
        file.unlink(missing_ok=True)
        return _lost(model, "What its seed gives has another digest.")
    storage.put(file, digest)
    return _repaired(model)


def _is_there(model: GlobalModel) -> bool:
    return all(storage.is_whole(digest) for digest in (model.digest, model.slots_digest) if digest)


@transaction.atomic
def _repaired(model: GlobalModel) -> bool:
    damaged = GlobalModel.objects.filter(pk=model.pk, file_status=FileStatus.DAMAGED)
    if not damaged.update(file_status=FileStatus.STORED):
        return False
    events.record(model.session_id, Event.Kind.STORAGE_REPAIRED, version=model.version, digest=model.digest)
    return True


@transaction.atomic
def _lost(model: GlobalModel, why: str) -> bool:
    """Give a model up. What cannot go on without it fails, with the reason."""
    damaged = GlobalModel.objects.filter(pk=model.pk, file_status=FileStatus.DAMAGED)
    if not damaged.update(file_status=FileStatus.LOST):
        return False
    reason = reasons.model_lost(str(model), why)
    if model == model.session.last_model():
        rounds.give_up(model.session, reason=reason, now=timezone.now())
    log.error("session %s: %s", model.session_id, reason.sentence)
    return False
