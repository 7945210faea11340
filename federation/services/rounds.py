"""Rounds: `advance` makes the one move that is due. Whatever happens, whoever notices just calls it."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from federation import events, killpoints, storage
from federation.errors import Conflict, Invalid, StorageFull
from federation.fl import aggregation, sampling, weights, workloads
from federation.killpoints import Point
from federation.lifecycle import (
    ACTIVE,
    LIVE,
    OPEN,
    ROUND_MOVES,
    FileStatus,
    RoundFailure,
    RoundStatus,
    SeatStatus,
    SessionStatus,
    verdict,
)
from federation.models import Client, Event, GlobalModel, Participation, Round, TrainingSession
from federation.prepared import Select, Update
from federation.services import damage, deadlines, late, making, seats, server

log = logging.getLogger(__name__)

Payload = dict[str, Any]
LEASE = timedelta(seconds=10)  # renewed between blocks; a worker that dies loses it
RENEW = timedelta(seconds=2)
MAX_EXTENSION_SECONDS = 2_592_000


class LeaseLost(Exception):
    """Another worker took the aggregation over, or the round was cancelled."""


def advance(session: TrainingSession, *, now: datetime) -> bool:
    """Make the one move that is due, if any. True if something moved.

    Every trigger (an upload, a deadline, a button, a restarted worker) just calls this.
    It is safe to call too often and from two workers at once: the database picks a winner.
    """
    round_ = session.active_round()
    if round_ is None:
        return open_next(now=now)
    if round_.status == RoundStatus.AGGREGATING:
        if round_.base_model.file_status == FileStatus.DAMAGED:  # until it is made again
            return False
        token = claim(round_, now=now)
        return token is not None and aggregate(round_, token)
    # A seat that reported has freed its client, perhaps for another session.
    return close(round_, now=now) or open_next(now=now)


_open_seats = Select(
    lambda round_: Participation.objects.filter(round=round_, status__in=OPEN).only("pk").order_by()[:1], int
)
_waiting = Select(lambda: TrainingSession.objects.waiting_for_a_round().only("pk").order_by()[:1])


def may_move(round_id: int) -> bool:
    """Whether an update that was just accepted can have made a move due. What else can, the tick finds."""
    return not _open_seats(round_id) or bool(_waiting())


# ---- opening


@dataclass(frozen=True, slots=True)
class Pool:
    """Who could take part in a round now."""

    clients: list[Client]  # enabled and online
    free: list[Client]  # those of them that hold no open seat

    @property
    def online(self) -> int:
        return len(self.clients)

    def of(self, session: TrainingSession) -> Pool:
        """The part of it that a session may ask: clients with one of its tags, or all where it has none."""
        wanted = set(session.client_tags)
        if not wanted:
            return self
        fits = {client.pk for client in self.clients if wanted.intersection(client.tags)}
        return Pool([c for c in self.clients if c.pk in fits], [c for c in self.free if c.pk in fits])


def pool(now: datetime) -> Pool:
    online = list(Client.objects.online(now).only("name", "tags"))
    busy = set(Participation.objects.filter(status__in=OPEN).values_list("client_id", flat=True))
    return Pool(clients=online, free=[client for client in online if client.pk not in busy])


def wanted(session: TrainingSession, online: int) -> int:
    """How many clients the next round asks."""
    return online if session.cohort_size is None else min(session.cohort_size, online)


def open_next(*, now: datetime) -> bool:
    """Open a round for the session whose turn it is: the one that waited longest, if it has enough clients.

    Sessions behind it that could ask the same clients wait while it waits for busy ones, so that a session that
    needs many is never starved by one that needs few. One that has too few clients online holds nobody up.
    """
    waiting = list(TrainingSession.objects.waiting_for_a_round())
    if not waiting or not server.may_open(now):
        return False
    due = next((turn for turn in turns(waiting, pool(now)) if turn.is_due), None)
    return due is not None and _open(due.session, due.free, due.asked, now)


@dataclass(frozen=True, slots=True)
class Turn:
    """What a session that waits for a round finds when it is its turn."""

    session: TrainingSession
    pool: Pool
    asked: int  # clients that the round would have
    free: list[Client]  # but for those that are kept for the sessions before it
    ahead: list[TrainingSession]  # for whom some of its free clients are kept

    @property
    def is_due(self) -> bool:
        return self.session.quorum <= self.asked <= len(self.free)


def turns(waiting: Sequence[TrainingSession], everyone: Pool) -> Iterator[Turn]:
    """The turns of these sessions, in their order, up to where one would open a round."""
    kept: dict[int, TrainingSession] = {}  # for whom, by client
    for session in waiting:
        candidates = everyone.of(session)
        asked = wanted(session, candidates.online)
        free = [client for client in candidates.free if client.pk not in kept]
        ahead = {one.pk: one for client in candidates.free if (one := kept.get(client.pk))}
        yield Turn(session, candidates, asked, free, list(ahead.values()))
        if asked >= session.quorum:
            for client in candidates.clients:
                kept.setdefault(client.pk, session)


def next_try(session: TrainingSession) -> tuple[int, int] | None:
    """Number and attempt of the round to open: the next number, or the same again after a failure.

    None while one is open: another worker was faster.
    """
    last = session.last_round()
    if last is None:
        return 1, 1
    if last.status in ACTIVE:
        return None
    again = last.status == RoundStatus.FAILED and last.on_failure == RoundFailure.RETRY
    return (last.number, last.attempt + 1) if again else (last.number + 1, 1)


def _open(session: TrainingSession, free: Sequence[Client], asked: int, now: datetime) -> bool:
    following = next_try(session)
    if following is None:
        return False
    number, attempt = following
    by_name = {client.name: client for client in free}
    drawn = sampling.draw(sorted(by_name), asked, seed=session.seed, round_number=number)
    try:
        with transaction.atomic():
            return _seat(session, number, attempt, [by_name[name] for name in drawn], now)
    except IntegrityError:  # another worker opened it, or gave one of these clients a seat elsewhere
        return False


def _seat(session: TrainingSession, number: int, attempt: int, drawn: Sequence[Client], now: datetime) -> bool:
    ids = [client.pk for client in drawn]
    still = Client.objects.online(now).filter(pk__in=ids).select_for_update().only("pk").order_by("pk")
    if len(still) < len(ids):  # one left or was disabled; counting in the database would lock nothing
        return False
    base = session.last_model()  # not always number - 1: a round may have been skipped
    if base is None:
        return False
    if not TrainingSession.objects.filter(pk=session.pk, status=SessionStatus.RUNNING).update(idle_since=None):
        return False
    learnt = deadlines.learn(session)
    deadline = now + timedelta(seconds=session.round_seconds)
    round_ = Round.objects.create(
        session=session, number=number, attempt=attempt, base_model=base, opened_at=now, deadline=deadline
    )
    seats.invite(round_, drawn, base)
    events.record(
        session.pk,
        Event.Kind.ROUND_OPENED,
        round=number,
        attempt=attempt,
        deadline=deadline.isoformat(),
        quorum=session.quorum,
        clients=[events.reference(client) for client in drawn],
        **({"learnt": learnt.as_json()} if learnt else {}),
    )
    return True


# ---- closing


def close(round_: Round, *, now: datetime) -> bool:
    """Close a collecting round if it is time: to be aggregated with a quorum, failed without."""
    if _verdict(round_, now) is None or not (now < round_.deadline or server.may_miss_deadlines(now)):
        return False
    with transaction.atomic():
        # Under the lock no update can be accepted between the count and the move.
        open_still = Round.objects.select_for_update().filter(pk=round_.pk, status=RoundStatus.COLLECTING)
        locked = open_still.order_by("pk").first()
        to = _verdict(locked, now) if locked else None
        if locked is None or to is None:
            return False
        if to == RoundStatus.AGGREGATING:
            return collect(locked, reason="The round closed without it.", now=now)
        return fail(locked, reason=_missed(locked), now=now)


def _verdict(round_: Round, now: datetime) -> RoundStatus | None:
    return verdict(**round_.tally(), quorum=round_.session.quorum, deadline=round_.deadline, now=now)


def _missed(round_: Round) -> str:
    reported, needed = round_.tally()["reported"], round_.session.quorum
    when = "at the deadline" if round_.seats.filter(status__in=OPEN).exists() else "when no seat was open any more"
    return f"{reported} of {needed} needed updates had arrived {when}."


@transaction.atomic
def collect(round_: Round, *, reason: str, now: datetime) -> bool:
    """Take in no more updates and hand the round to aggregation. False if someone moved it first."""
    if not move(round_, RoundStatus.AGGREGATING, collected_at=now):
        return False
    seats.drop(round_.seats.all(), reason=reason, closing=True)
    late.take(round_)
    return True


@transaction.atomic
def fail(round_: Round, *, reason: str, now: datetime, lease_token: str | None = None) -> bool:
    """End a round without a model: it is tried again, skipped, or fails its session, as that was told."""
    guard = {} if lease_token is None else {"lease_token": lease_token}
    if not move(round_, RoundStatus.FAILED, guard=guard, reason=reason, closed_at=now):
        return False
    seats.drop(round_.seats.all(), reason="The round failed.", closing=True)
    session = round_.session
    again, skipped = (round_.on_failure == one for one in (RoundFailure.RETRY, RoundFailure.SKIP))
    where: Payload = {"round": round_.number, "attempt": round_.attempt}
    events.record(session.pk, Event.Kind.ROUND_FAILED, **where, reason=reason, retried=again, skipped=skipped)
    if skipped:
        _skip(round_, now)
    elif again:
        TrainingSession.objects.filter(pk=session.pk).update(idle_since=now)
    else:
        times = "once" if round_.attempt == 1 else f"{round_.attempt} times"
        _fail_session(session, f"Round {round_.number} failed {times}. The last time: {reason}", now)
    return True


def _skip(round_: Round, now: datetime) -> None:
    """Go on with the next number from the last model. A session none of whose rounds made one has failed."""
    session = round_.session
    if not session.models.filter(version__gt=0).exists() and session.rounds <= round_.number:
        _fail_session(session, "Every round failed and was skipped, so that there is no model to keep.", now)
    elif _complete_or_go_on(round_, now):
        events.record(session.pk, Event.Kind.SESSION_COMPLETED, rounds=round_.number)


def _fail_session(session: TrainingSession, reason: str, now: datetime) -> None:
    fields = {"status": SessionStatus.FAILED, "reason": reason, "ended_at": now, "idle_since": None}
    if TrainingSession.objects.filter(pk=session.pk, status__in=LIVE).update(**fields):
        events.record(session.pk, Event.Kind.SESSION_FAILED, reason=reason)


@transaction.atomic
def give_up(session: TrainingSession, *, reason: str, now: datetime) -> None:
    """Fail the open round and the session: what they stand on is lost, so that trying again would not help."""
    round_ = Round.objects.select_for_update().filter(session=session, status__in=ACTIVE).first()
    if round_ is not None and move(round_, RoundStatus.FAILED, reason=reason, closed_at=now):
        seats.drop(round_.seats.all(), reason="The round failed.", closing=True)
        where: Payload = {"round": round_.number, "attempt": round_.attempt}
        events.record(session.pk, Event.Kind.ROUND_FAILED, **where, reason=reason, retried=False)
    _fail_session(session, reason, now)


def move(round_: Round, to: RoundStatus, *, guard: dict[str, str] | None = None, **fields: object) -> bool:
    """Move a round to another status, with what else changes. False if someone moved it first.

    Call inside a transaction.
    """
    if (round_.status, to) not in ROUND_MOVES:
        raise ValueError(f"round {round_.pk}: {round_.status} -> {to} is not a move")
    rows = Round.objects.filter(pk=round_.pk, status=round_.status, **(guard or {}))
    if not rows.update(status=to, **fields):
        return False
    if to in (RoundStatus.FAILED, RoundStatus.CANCELLED):
        late.release(round_)
    round_.status = to
    for name, value in fields.items():
        setattr(round_, name, value)
    return True


@transaction.atomic
def cancel_active(session: TrainingSession, *, now: datetime) -> None:
    """Cancel the open round of a session that is being cancelled. What was sent for it is not counted."""
    round_ = Round.objects.select_for_update().filter(session=session, status__in=ACTIVE).first()
    if round_ and move(round_, RoundStatus.CANCELLED, closed_at=now, reason="The session was cancelled."):
        seats.drop(round_.seats.all(), reason="The session was cancelled.")
        events.record(session.pk, Event.Kind.ROUND_CANCELLED, round=round_.number, attempt=round_.attempt)


# ---- steering


@transaction.atomic
def finish(session: TrainingSession, *, by: str, now: datetime) -> None:
    """Close the open round with the updates that are in. Raises Conflict below the quorum."""
    round_ = _collecting(session)
    missing = max(1, session.quorum) - round_.tally()["reported"]
    if missing > 0:
        raise Conflict(not_yet(session, missing))
    if collect(round_, reason=f"The round was finished by {by}.", now=now):
        events.record(session.pk, Event.Kind.ROUND_FINISHED, round=round_.number, attempt=round_.attempt, by=by)


def not_yet(session: TrainingSession, missing: int) -> str:
    """Why a round cannot be finished."""
    more = "1 more update is" if missing == 1 else f"{missing} more updates are"
    return f"Not yet: {more} needed for the quorum of {session.quorum}."


@transaction.atomic
def extend(session: TrainingSession, *, seconds: int, by: str) -> None:
    """Move the deadline of the open round, counted from where it is."""
    if not 1 <= seconds <= MAX_EXTENSION_SECONDS:
        raise Invalid(("seconds", f"seconds is {seconds}: choose 1 to {MAX_EXTENSION_SECONDS}."))
    round_ = _collecting(session)
    deadline = round_.deadline + timedelta(seconds=seconds)
    if not Round.objects.filter(pk=round_.pk, status=RoundStatus.COLLECTING).update(deadline=deadline):
        raise Conflict("The round closed just now.")
    events.record(
        session.pk,
        Event.Kind.ROUND_EXTENDED,
        round=round_.number,
        attempt=round_.attempt,
        seconds=seconds,
        deadline=deadline.isoformat(),
        by=by,
    )


def skip(session: TrainingSession, seat_id: int, *, by: str) -> None:
    """Go on without one client in the open round."""
    round_ = _collecting(session)
    seat = round_.seats.select_related("client", "round").filter(pk=seat_id).first()
    if seat is None:
        raise Invalid(("participation", f"The open round has no participation {seat_id}."))
    seats.skip(seat, by=by)


def _collecting(session: TrainingSession) -> Round:
    round_ = session.active_round()
    if round_ is None:
        raise Conflict(f"{session.name} has no open round.")
    if round_.status != RoundStatus.COLLECTING:
        raise Conflict(f"{str(round_).capitalize()} is {round_.status}; its seats are closed.")
    return round_


# ---- aggregating


def claim(round_: Round, *, now: datetime) -> str | None:
    """Take the aggregation of a round; None while another worker holds it. A worker that dies loses it."""
    token = secrets.token_hex(16)
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    rows = Round.objects.filter(free, pk=round_.pk, status=RoundStatus.AGGREGATING)
    return token if rows.update(lease_token=token, lease_until=now + LEASE) else None


def free_leases() -> None:
    """Give up every lease: called by a server that is the only one, at its start."""
    Round.objects.filter(status=RoundStatus.AGGREGATING).update(lease_until=None)


class Lease:
    """Keeps a claim alive between blocks."""

    def __init__(self, round_: Round, token: str) -> None:
        self.round, self.token, self.renewed = round_, token, timezone.now()

    def renew(self) -> None:
        """Raises LeaseLost if the round is no longer ours."""
        killpoints.reached(Point.HALF_AGGREGATED)
        now = timezone.now()
        if now - self.renewed < RENEW:
            return
        rows = Round.objects.filter(pk=self.round.pk, status=RoundStatus.AGGREGATING, lease_token=self.token)
        if not rows.update(lease_until=now + LEASE):
            raise LeaseLost
        server.tick(now=now)  # the tick itself may have to wait behind this aggregation
        self.renewed = now


def aggregate(round_: Round, token: str) -> bool:
    """Build the next global model from the reported updates and publish it. False if it could not be done now."""
    try:
        return _aggregate(round_, token)
    except LeaseLost:
        return False
    except StorageFull:
        log.warning("round %s of session %s waits: the disk is full", round_.number, round_.session_id)
        return False


# What is read of each seat where all goes well; the rest is fetched where something was damaged.
_COUNTED = (
    *("status", "digest", "num_examples", "staleness", "metrics", "counted_in"),
    *("client__name", "round__number", "round__attempt", "round__session"),
)


def _aggregate(round_: Round, token: str) -> bool:
    killpoints.reached(Point.AGGREGATION_CLAIMED)
    counted, began, lease = list(making.counted(round_).only(*_COUNTED)), timezone.now(), Lease(round_, token)
    made, failure = None, ""
    with (
        storage.scratch() as out,
        storage.scratch() as out_slots,
        storage.Check(making.files(round_, counted)) as check,
    ):
        try:
            with storage.refusing_when_full():
                made = making.make(round_, counted, out, out_slots, lease.renew)
        except (aggregation.AggregationError, weights.WeightsError, FileNotFoundError) as error:
            failure = str(error)
        if damaged := check.damaged(lease.renew):
            return _mend(round_, token, counted, damaged)
        if made is None:
            return fail(round_, reason=failure, now=timezone.now(), lease_token=token)
        with storage.keeping():
            storage.put(out, made.digest)
            if made.slots_digest:
                storage.put(out_slots, made.slots_digest)
            killpoints.reached(Point.AGGREGATED)
            published = publish(round_, token, counted, made, began=began, now=timezone.now())
    killpoints.reached(Point.PUBLISHED)
    return published


def _mend(round_: Round, token: str, counted: Sequence[Participation], damaged: set[str]) -> bool:
    """Nothing made of damaged files is published. Updates are asked for again; models are made again by `repair`."""
    of_seats = [seat for seat in counted if seat.digest in damaged]
    own = [seat for seat in of_seats if seat.round_id == round_.pk]
    late.lose([seat for seat in of_seats if seat.round_id != round_.pk])
    if of_models := damaged - {seat.digest for seat in of_seats}:
        damage.note(of_models)
    if of_models or not own:
        Round.objects.filter(pk=round_.pk, lease_token=token).update(lease_until=None)
        return not of_models  # without the late ones it can be aggregated at once
    return reopen(round_, token, own, now=timezone.now())


@transaction.atomic
def reopen(round_: Round, token: str, damaged: Sequence[Participation], *, now: datetime) -> bool:
    """Collect again, from the clients whose updates were damaged. The others' stay."""
    deadline = max(round_.deadline, now + timedelta(seconds=round_.session.round_seconds))
    free = {"lease_token": "", "lease_until": None, "collected_at": None, "deadline": deadline}
    if not move(round_, RoundStatus.COLLECTING, guard={"lease_token": token}, **free):
        return False
    entries, asked = [], []
    for seat in damaged:
        missing = not storage.exists(seat.digest)
        storage.set_aside(seat.digest)  # before the client can send it again
        again = seats.ask_again(seat)
        then = "asked_again" if again else "lost"
        entries.append((Event.Kind.STORAGE_DAMAGED, damage.of_update(seat, missing, then)))
        asked += [events.reference(seat.client)] if again else []
    where: Payload = {"round": round_.number, "attempt": round_.attempt, "deadline": deadline.isoformat()}
    events.record_all(round_.session_id, [*entries, (Event.Kind.ROUND_REOPENED, where | {"clients": asked})])
    return True


@transaction.atomic
def publish(
    round_: Round,
    token: str,
    counted: Sequence[Participation],
    made: aggregation.Aggregated,
    *,
    began: datetime,
    now: datetime,
) -> bool:
    """Make a new global model known and complete its round. Only whoever holds the claim can."""
    if not move(round_, RoundStatus.COMPLETED, guard={"lease_token": token}, closed_at=now):
        return False
    _keep_model(round_, made, now)
    _mark_counted(round_, counted, made)
    own = [seat for seat in counted if seat.round_id == round_.pk]
    federated = federated_metrics(own)  # late ones measured an older model
    GlobalModel.objects.filter(pk=round_.base_model_id).update(federated_metrics=federated)
    work: Payload = {"updates": len(counted), "aggregation_seconds": (now - began).total_seconds()}
    if len(own) < len(counted):
        work["late"] = [seats.describe(seat) | {"staleness": seat.staleness} for seat in counted[len(own) :]]
    where: Payload = {"round": round_.number, "attempt": round_.attempt}
    model: Payload = {"version": round_.number, "digest": made.digest, "num_bytes": made.num_bytes}
    entries = [
        (Event.Kind.ROUND_AGGREGATED, where | work),
        (Event.Kind.MODEL_PUBLISHED, model | {"round": round_.number, "federated_metrics_of_base": federated}),
        (Event.Kind.ROUND_COMPLETED, where | work | {"seconds": (now - round_.opened_at).total_seconds()}),
    ]
    if _complete_or_go_on(round_, now):
        entries.append((Event.Kind.SESSION_COMPLETED, {"rounds": round_.number}))
    events.record_all(round_.session_id, entries)
    return True


def _keep_model(round_: Round, made: aggregation.Aggregated, now: datetime) -> None:
    evaluates = workloads.get(round_.session.workload).needs_torch
    GlobalModel.objects.create(
        session=round_.session,
        version=round_.number,
        digest=made.digest,
        num_bytes=made.num_bytes,
        slots_digest=made.slots_digest or "",
        parent=round_.base_model,
        round=round_,
        evaluated_at=None if evaluates else now,
        created_at=now,
    )


_set_counted = Update(Participation, "status", "norm", "cosine")


def _mark_counted(round_: Round, counted: Sequence[Participation], made: aggregation.Aggregated) -> None:
    """Note what became of each update. A late one stays late: `counted_in` says where it counts."""
    _set_counted(
        (SeatStatus.AGGREGATED if seat.round_id == round_.pk else seat.status, norm, cosine, seat.pk)
        for seat, norm, cosine in zip(counted, made.norms, made.cosines, strict=True)
    )


def _complete_or_go_on(round_: Round, now: datetime) -> bool:
    """Complete the session after its last round, or note since when it waits for the next. True if completed."""
    live = TrainingSession.objects.filter(pk=round_.session_id, status__in=LIVE)
    # The number of rounds is compared in the database: more may have been added while this one was aggregated.
    done = live.filter(rounds__lte=round_.number)
    completed = done.update(status=SessionStatus.COMPLETED, ended_at=now, idle_since=None)
    if not completed:
        live.update(idle_since=now)
    return bool(completed)


def federated_metrics(counted: Sequence[Participation]) -> dict[str, float]:
    """The clients' evaluation of the round's base model on their own held-out data, weighted by their examples.

    Clients report it as `base_val_loss` and `base_val_accuracy`; those that did not are left out.
    """
    found: dict[str, float] = {}
    for name in ("loss", "accuracy"):
        key = f"base_val_{name}"
        given = [(s.metrics[key], s.num_examples or 0) for s in counted if s.metrics.get(key) is not None]
        total = sum(examples for _, examples in given)
        if total:
            found[name] = sum(value * examples for value, examples in given) / total
    return found
