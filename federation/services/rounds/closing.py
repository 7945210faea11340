"""The ends of a round: it is aggregated, completed with numbers, failed or cancelled."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from federation import events, reasons, schedules, work
from federation.fl import early_stop
from federation.lifecycle import (
    ACTIVE,
    LIVE,
    MADE,
    OPEN,
    Outcome,
    RoundFailure,
    RoundStatus,
    SeatReason,
    SeatStatus,
    SessionStatus,
    WorkKind,
)
from federation.models import Event, Participation, Round, TrainingSession
from federation.reasons import Reason, Trouble
from federation.services import privacy, seats, server
from federation.services.rounds import completing, measuring, numbers, stopping, tallying
from federation.services.rounds.moves import entry, move
from federation.services.rounds.opening import next_try, next_try_at
from federation.services.seats import late
from federation.work import Answer, Failed, Numbers

Payload = dict[str, Any]


def close(round_: Round, *, now: datetime) -> bool:
    """Close a collecting round if it is time: to be aggregated with a quorum, failed without."""
    if _verdict(round_, now) is None or not (now < round_.deadline or server.may_miss_deadlines(now)):
        return False
    with transaction.atomic():
        # Under the lock no update can be accepted between the count and the move.
        open_still = Round.objects.select_for_update(of=("self",)).filter(pk=round_.pk, status=RoundStatus.COLLECTING)
        locked = open_still.order_by("pk").first()
        to = _verdict(locked, now) if locked else None
        if locked is None or to is None:
            return False
        if to == RoundStatus.COLLECTING:
            return _postpone(locked, now)
        if to == RoundStatus.AGGREGATING:
            why = reasons.DEADLINE if now >= locked.deadline else reasons.ROUND_CLOSED
            return conclude(locked, reason=why, now=now)
        return fail(locked, reason=_missed(locked), now=now)


def _verdict(round_: Round, now: datetime) -> RoundStatus | None:
    return tallying.schedule_of(round_).verdict(tallying.of(round_), deadline=round_.deadline, now=now)


def _postpone(round_: Round, now: datetime) -> bool:
    """Collect for another while."""
    deadline = now + timedelta(seconds=round_.session.round_seconds)
    Round.objects.filter(pk=round_.pk).update(deadline=deadline)
    where: Payload = {"round": round_.number, "attempt": round_.attempt, "deadline": deadline.isoformat()}
    events.record(round_.session_id, Event.Kind.ROUND_POSTPONED, **where)
    return True


def _missed(round_: Round) -> Reason:
    """Why the quorum is missed, with what its clients said."""
    withdrawn = round_.seats.filter(withdrawn=True).order_by("client__name")
    return reasons.quorum_missed(
        round_.tally()["reported"],
        tallying.schedule_of(round_).needed,
        at_deadline=round_.seats.filter(status__among=OPEN).exists(),
        withdrawn=list(withdrawn.values_list("client__name", flat=True)),
        troubles=_troubles(round_),
        of=reasons.UPDATE if work.of(round_).answer == Answer.UPDATE else reasons.RESULT,
    )


def _troubles(round_: Round) -> list[Trouble]:
    """Clients that gave up, and open seats whose last update was refused."""
    found = round_.seats.filter(Q(status=SeatStatus.FAILED) | Q(status__among=OPEN) & ~Q(reason=""))
    codes = {SeatStatus.FAILED.value: SeatReason.CLIENT_FAILED}
    rows = found.order_by("seat").values_list("client__name", "status", "reason")
    return [Trouble(name, codes.get(status, SeatReason.REJECTED), reason) for name, status, reason in rows]


@transaction.atomic
def conclude(round_: Round, *, reason: Reason, now: datetime) -> bool:
    """Take in no more answers, and make of them what the round is for. False if someone moved it first."""
    answered = round_.seats.filter(status=SeatStatus.REPORTED).select_related("client").order_by("seat")
    match work.of(round_).conclude(round_, answered):
        case Failed(why):
            return fail(round_, reason=why, now=now)
        case Numbers() as found:
            return numbers.keep(round_, found, reason=reason, now=now)
    return collect(round_, reason=reason, now=now)


@transaction.atomic
def collect(round_: Round, *, reason: Reason, now: datetime) -> bool:
    """Take in no more updates and hand the round to aggregation. False if someone moved it first."""
    if not move(round_, RoundStatus.AGGREGATING, collected_at=now):
        return False
    late.take(round_)  # first: seats are locked before the session's log
    seats.drop(_ending(round_), reason=reason, closing=True)
    return True


def _ending(round_: Round) -> QuerySet[Participation]:
    """The seats that end with a round: all, or those whose clients do not work for a later one.

    After the last round nothing could count any more, so that nobody goes on.
    """
    session = round_.session
    if round_.number >= session.rounds:
        return completing.seats_of(session)
    if schedules.of(session).goes_on():
        return round_.seats.exclude(status=SeatStatus.TRAINING, reason="")
    return round_.seats.all()


@transaction.atomic
def fail(round_: Round, *, reason: Reason, now: datetime, lease_token: str | None = None) -> bool:
    """End a round that makes nothing. The session's setting decides: try again, skip it, or fail the session.

    The session does not fail with a round of another kind than its own.
    """
    guard = {} if lease_token is None else {"lease_token": lease_token}
    beside = round_.kind != round_.session.kind
    again = round_.kind != WorkKind.EVALUATE or not beside
    again = again and round_.on_failure == RoundFailure.RETRY
    skipped = not beside and round_.on_failure == RoundFailure.SKIP
    outcome = Outcome.SKIPPED if skipped else Outcome.NOTHING
    if not move(round_, RoundStatus.FAILED, guard=guard, outcome=outcome, closed_at=now, **reason.fields):
        return False
    session = round_.session
    ends = not beside and not again and (not skipped or round_.number >= session.rounds)
    dropped = completing.seats_of(session) if ends else round_.seats.all()
    seats.drop(dropped, reason=reasons.ROUND_FAILED, closing=True)
    told = entry(round_, Event.Kind.ROUND_FAILED, **reason.fields, retried=again, skipped=skipped)
    if beside:
        events.record_all(session.pk, [told, *completing.after(round_, now)])
        if round_.kind == WorkKind.INITIALISE and not again:
            completing.fail_session(session, f"No client sent the initial model. {reason.sentence}", now)
        return True
    events.record_all(session.pk, [told])
    if skipped:
        _skip(round_, now)
    elif again:
        TrainingSession.objects.filter(pk=session.pk).update(idle_since=next_try_at(round_, now))
    else:
        tried = "" if round_.attempt == 1 else f" {round_.attempt} times. The last time"
        completing.fail_session(session, f"{round_.label.capitalize()} failed{tried}: {reason.sentence}", now)
    return True


def _skip(round_: Round, now: datetime) -> None:
    """Go on with the next number from the last model. A session none of whose rounds made one has failed."""
    session = round_.session
    if not session.own_rounds.filter(outcome__in=MADE).exists() and session.rounds <= round_.number:
        completing.fail_session(session, "Every round failed and was skipped, so that there is no model to keep.", now)
    elif completing.complete_or_go_on(round_, now):
        events.record(session.pk, Event.Kind.SESSION_COMPLETED, rounds=round_.number)


@transaction.atomic
def fail_active(round_id: int, sentence: str, *, now: datetime) -> bool:
    """Fail a round for which a step was given up, whatever its state. False if it is over."""
    round_ = Round.objects.select_for_update(of=("self",)).filter(pk=round_id, status__among=ACTIVE).first()
    return round_ is not None and fail(round_, reason=reasons.internal(sentence), now=now)


@transaction.atomic
def fail_unopened(session: TrainingSession, sentence: str, *, now: datetime) -> bool:
    """Fail the next round of a session, which could not be opened: it has no seats, so nobody is asked."""
    following, base = next_try(session), session.last_model()
    if following is None or base is None:
        return False
    number, attempt = following
    times = {"opened_at": now, "deadline": now}
    round_ = Round.objects.create(
        session=session, kind=session.kind, number=number, attempt=attempt, base_model=base, **times
    )
    return fail(round_, reason=reasons.internal(sentence), now=now)


@transaction.atomic
def give_up(session: TrainingSession, *, reason: Reason, now: datetime) -> None:
    """Fail the open round and the session: what they stand on is lost, so that trying again would not help.

    A session that has trained all its rounds does not fail.
    """
    round_ = Round.objects.select_for_update(of=("self",)).filter(session=session, status__among=ACTIVE).first()
    if round_ is not None and round_.kind != session.kind:
        fail(round_, reason=reason, now=now)
        return
    ends = {"outcome": Outcome.NOTHING, "closed_at": now, **reason.fields}
    failed = round_ is not None and move(round_, RoundStatus.FAILED, **ends)
    seats.drop(completing.seats_of(session), reason=reasons.ROUND_FAILED, closing=True)
    if round_ is not None and failed:
        events.record_all(session.pk, [entry(round_, Event.Kind.ROUND_FAILED, **reason.fields, retried=False)])
    completing.fail_session(session, reason.sentence, now)


@transaction.atomic
def cancel_active(session: TrainingSession, *, now: datetime) -> None:
    """Cancel the open round and the seats of a session that is being cancelled. What was sent for it is not counted."""
    round_ = Round.objects.select_for_update(of=("self",)).filter(session=session, status__among=ACTIVE).first()
    ends = {"outcome": Outcome.NOTHING, "closed_at": now, **reasons.CANCELLED.fields}
    cancelled = round_ is not None and move(round_, RoundStatus.CANCELLED, **ends)
    seats.drop(completing.seats_of(session), reason=reasons.SESSION_CANCELLED)
    if round_ is not None and cancelled:
        events.record_all(session.pk, [entry(round_, Event.Kind.ROUND_CANCELLED, **reasons.CANCELLED.fields)])


def _spent_before(session: TrainingSession, stop: Mapping[str, Any], now: datetime) -> bool:
    """Fail a session whose budget was spent by the sessions that it trains further, since it was created."""
    if "privacy" in stop:
        completing.fail_session(session, "Its budget of epsilon was spent before its first round.", now)
    return "privacy" in stop


@transaction.atomic
def stop_early(session: TrainingSession, *, now: datetime, free: int | None = None) -> bool:
    """Complete a session between two rounds, if the server's measurements say that it has learnt enough, or another
    round would exceed its budget of epsilon. free: among how many clients it would choose."""
    if not early_stop.by_server(session.early_stop) and not privacy.has_budget(session):
        return False
    session.refresh_from_db(fields=["status", "idle_since"])
    last = session.last_model()
    if session.status not in LIVE or last is None or session.active_round() is not None:
        return False
    stop = stopping.between(session, free)
    if not stop:
        return False
    if last.round_id is None:  # it has trained nothing yet
        return _spent_before(session, stop, now)
    seats.drop(completing.seats_of(session), reason=reasons.SESSION_COMPLETED)
    # Whoever opens a round meanwhile changes `idle_since`.
    live = TrainingSession.objects.filter(pk=session.pk, status__in=LIVE)
    if not live.filter(idle_since=session.idle_since).update(idle_since=None):
        transaction.set_rollback(True)
        return False
    if measuring.begin(session, now):
        return True
    live.update(status=SessionStatus.COMPLETED, ended_at=now)
    events.record(session.pk, Event.Kind.SESSION_COMPLETED, rounds=last.version, **stop)
    return True
