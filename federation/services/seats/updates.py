"""Updates: checked against the model they belong to, stored under their digest, counted once."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import F

from federation import events, killpoints, reasons, storage, work
from federation.compiled import Select, Update
from federation.errors import ChecksumMismatch, Conflict, Invalid, RoundClosed, Unavailable
from federation.fl.defences import Defence, counted_examples
from federation.fl.files import updates as wire
from federation.fl.workloads import WORKLOADS
from federation.lifecycle import OPEN, RoundStatus, SeatStatus, WorkKind
from federation.models import Event, Participation, Round
from federation.payloads import storable
from federation.services import info as infos
from federation.services import standing
from federation.services.models import damage
from federation.services.seats import flags, late
from federation.services.seats.payload import describe
from federation.services.seats.writing import Alone, Writing, write
from federation.work import Answer, Unusable, initialisation, training

TOLD_REJECTIONS = 20  # events of one seat's refused updates; the seat itself always has the last reason
# Fields of a seat: what others may change while its update is on its way, and what an update changes.
STATE = ("status", "digest", *reasons.NONE, "trained_at")
SETTLED = (
    *(*STATE, "num_bytes", "num_examples", "counted_examples", "update_norm", "metrics", "flags"),
    *("fraction", "reported_at", "progress_at"),
)

STANDING = ("client__name", "client__enabled", "client__token_hash")

_now = Select(
    lambda pk: Participation.objects.filter(pk=pk).select_related("round").only(*STATE, "round__status").order_by(),
    int,
)
_locked = Select(
    lambda pk: (
        Participation.objects.select_for_update(of=("self",))
        .filter(pk=pk)
        .select_related("client")
        .only(*STATE, *STANDING)
        .order_by()
    ),
    int,
)
_settled = Update(Participation, *SETTLED)


def check_receivable(seat: Participation) -> None:
    """Refuse before a body is read what could not be kept anyway. Raises RoundClosed, or Conflict for other work."""
    if work.of(seat.round).answer != Answer.UPDATE:
        raise Conflict(f"This is work of the kind {seat.round.kind}: it is answered with numbers, not with an update.")
    dropped = seat.status == SeatStatus.DROPPED and seat.round.status != RoundStatus.CANCELLED
    if not (seat.is_open or seat.is_accepted or dropped):
        raise RoundClosed(_closed(seat))


def receive(seat: Participation, file: Path, *, digest: str | None = None, now: datetime) -> bool:
    """Take in a finished update file. True if it was accepted, False if it had been before, with the same bytes.

    The file is moved into the store or left where it is. digest: the SHA-256 that its sender knows, if it said
    one. Raises ChecksumMismatch where the file does not have it, Invalid for content that cannot be aggregated
    (the seat stays open), Conflict for other bytes after acceptance, RoundClosed when the round went on without
    it; a dropped seat's update is kept first, labelled late. The update of a seat that went on when its round
    closed is late and accepted.
    """
    try:
        update = _checked(seat, file)
    except Unusable as error:
        if digest is not None:
            _require(storage.digest_of(file), digest)
        _reject(seat, str(error))
        raise Invalid(("update", str(error))) from error
    if digest is not None:
        _require(update.digest, digest)
    _refuse_unwanted(seat, update)
    with storage.keeping():
        storage.put(file, update.digest, seal=update.seal)
        killpoints.reached(killpoints.Point.UPDATE_STORED)
        status, accepted = write(seat, partial(_settle, seat, update, now), holds_round=True)
    if not accepted:
        raise RoundClosed(_closed(seat))
    return status in OPEN


def _checked(seat: Participation, file: Path) -> wire.Update:
    """Raises Unusable, or Unavailable while the base's file is made again."""
    try:
        update: wire.Update = work.of(seat.round).check(seat, file)
        return update
    except training.BaseUnreadable:
        damage.note([seat.round.base.digest])
        raise Unavailable("The model of this round is damaged here and is being made again; send it later.") from None


def most_bytes(seat: Participation) -> int:
    """As many as the update of a seat can have, without its metadata."""
    if seat.round.base_model is None:
        return initialisation.most_bytes()
    return training.encoding_of(seat).most_bytes(seat.round.base_model.num_bytes)


def _require(digest: str, sent: str) -> None:
    if digest != sent:
        raise ChecksumMismatch("The update does not fit its digest; it was damaged on the way.")


def _refuse_unwanted(seat: Participation, update: wire.Update) -> None:
    """Refuse what would not be kept, before it lies in the store: `_settle` decides, this keeps the store clean."""
    (found,) = _now(seat.pk)
    _refresh(seat, found)
    seat.round.status = found.round.status
    check_receivable(seat)
    _refuse_other(seat, update)


def _refresh(seat: Participation, found: Participation) -> None:
    for name in STATE:
        setattr(seat, name, getattr(found, name))


def _refuse_other(seat: Participation, update: wire.Update) -> None:
    if seat.is_accepted and seat.digest != update.digest:
        raise Conflict(f"{seat.client.name} has reported for {seat.round} already, with other bytes.")


def _settle(seat: Participation, update: wire.Update, now: datetime, writing: Writing) -> tuple[str, bool]:
    """Decide what an update is worth. Returns the seat's status before, and whether the update is accepted."""
    status = writing.hold(seat.round_id)  # so that it cannot close between this check and the save
    collecting = status == RoundStatus.COLLECTING
    if not collecting and writing.several:
        raise Alone  # rounds are locked before seats
    later = None if collecting else _locked_later(seat.round.session_id)
    (locked,) = _locked(seat.pk)
    standing.require_standing(seat.client, locked.client)
    _refresh(seat, locked)
    _refuse_other(seat, update)
    before = seat.status
    if seat.is_accepted:
        return before, True
    if before in OPEN and collecting:
        _save(seat, update, SeatStatus.REPORTED, now)
        writing.entries[seat.round.session_id].append((Event.Kind.UPDATE_RECEIVED, _told(seat, update)))
        return before, True
    if before in OPEN or (before == SeatStatus.DROPPED and status != RoundStatus.CANCELLED):
        told = _save_late(seat, update, later, now)
        writing.entries[seat.round.session_id].append((Event.Kind.UPDATE_LATE, told))
    return before, before in OPEN


def _locked_later(session_id: int) -> Round | None:
    """The round of a session that collects now."""
    collecting = Round.objects.select_for_update(of=("self",)).filter(session=session_id, status=RoundStatus.COLLECTING)
    return collecting.filter(kind=WorkKind.TRAIN).select_related("session", "base_model").order_by("pk").first()


def _save_late(seat: Participation, update: wire.Update, later: Round | None, now: datetime) -> dict[str, Any]:
    """Keep an update that came after its round. later: the round that collects now, in which it may count.

    Returns what the log says of it.
    """
    _save(seat, update, SeatStatus.LATE, now)
    if later is not None:
        late.take(later)
    told = {"counts": late.counts(seat), "accepted": seat.went_on, "counted_in": late.counted_in(seat)}
    superseded = {"superseded": True} if late.is_superseded(seat) else {}
    return _told(seat, update, **told, **superseded)


def _save(seat: Participation, update: wire.Update, status: SeatStatus, now: datetime) -> None:
    dropped, seat.status = seat.status == SeatStatus.DROPPED, status
    seat.digest, seat.num_bytes = update.digest, update.num_bytes
    seat.num_examples, seat.metrics = update.num_examples, storable(update.metrics)
    _weigh(seat, update)
    if not dropped:
        for name, value in reasons.NONE.items():
            setattr(seat, name, value)
    seat.fraction, seat.reported_at, seat.progress_at = 1.0, now, now
    seat.trained_at = seat.trained_at or now
    _settled([(*(getattr(seat, name) for name in SETTLED), seat.pk)])


def _weigh(seat: Participation, update: wire.Update) -> None:
    """Note what its update counts for, and what is odd about it, for good: whatever the client tells later."""
    seat.update_norm, seat.counted_examples, seat.flags = update.norm, None, flags.of_update(update)
    counted = _counted(seat, update.num_examples)
    if counted != update.num_examples:
        seat.counted_examples = counted
        seat.flags = [*seat.flags, flags.examples_capped(update.num_examples, counted)]


def _counted(seat: Participation, claimed: int) -> int:
    """How many examples an update counts for. A client that counted only another workload's is not capped."""
    session, client = seat.round.session, seat.client
    if Defence.EXAMPLES not in session.defences:
        return claimed
    if session.workload not in WORKLOADS:  # what a site told of it alone is in no info
        rows = client.workloads.filter(name=session.workload).values_list("num_examples", flat=True)
        if (declared := rows.first()) is not None:
            return counted_examples(claimed, declared)
    counted = counted_examples(claimed, client.num_examples)
    if counted == claimed:
        return claimed
    examples = infos.of(client.info).examples  # read only where it matters
    return counted if examples is None else counted_examples(claimed, examples.get(session.workload))


def _told(seat: Participation, update: wire.Update, **more: int | None) -> dict[str, Any]:
    """What the log says of an update."""
    return (
        describe(seat)
        | more
        | {
            "num_examples": update.num_examples,
            "num_bytes": update.num_bytes,
            "digest": update.digest,
            "metrics": update.metrics,
        }
        | ({"flags": seat.flags} if seat.flags else {})
    )


@transaction.atomic
def _reject(seat: Participation, reason: str) -> None:
    """Note why an update was refused. The seat stays open for a better one. The log tells so many times of a seat."""
    why = reasons.rejected(reason).fields
    mine = Participation.objects.filter(pk=seat.pk, status__among=OPEN)
    if not mine.update(**why, rejections=F("rejections") + 1):
        return
    if mine.filter(rejections__lte=TOLD_REJECTIONS).exists():
        events.record(seat.round.session_id, Event.Kind.UPDATE_REJECTED, **describe(seat), **why)


def _closed(seat: Participation) -> str:
    seat.refresh_from_db(fields=["status"])
    kept = " The update is kept, labelled late." if seat.status == SeatStatus.LATE else ""
    if kept and late.counts(seat):
        kept += " It counts in the next round."
    elif kept and late.is_superseded(seat):
        kept += " Another update of this client counts for that round."
    return f"{str(seat.round).capitalize()} went on without this seat, which is {seat.status}.{kept}"
