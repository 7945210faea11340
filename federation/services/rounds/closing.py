"""The ends of a round and what follows: it is aggregated, failed or cancelled; its session continues or ends."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet

from federation import events, reasons, schedules
from federation.fl import early_stop
from federation.lifecycle import (
    ACTIVE,
    LIVE,
    OPEN,
    Outcome,
    RoundFailure,
    RoundStatus,
    SeatReason,
    SeatStatus,
    SessionStatus,
)
from federation.models import Event, Participation, Round, TrainingSession
from federation.reasons import Reason, Trouble
from federation.services import seats, server
from federation.services.rounds import stopping, tallying
from federation.services.rounds.moves import move
from federation.services.rounds.opening import next_try, next_try_at
from federation.services.seats import late

Payload = dict[str, Any]


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
        if to == RoundStatus.COLLECTING:
            return _postpone(locked, now)
        if to == RoundStatus.AGGREGATING:
            why = reasons.DEADLINE if now >= locked.deadline else reasons.ROUND_CLOSED
            return collect(locked, reason=why, now=now)
        return fail(locked, reason=_missed(locked), now=now)


def _verdict(round_: Round, now: datetime) -> RoundStatus | None:
    return schedules.of(round_.session).verdict(tallying.of(round_), deadline=round_.deadline, now=now)


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
        round_.session.quorum,
        at_deadline=round_.seats.filter(status__in=OPEN).exists(),
        withdrawn=list(withdrawn.values_list("client__name", flat=True)),
        troubles=_troubles(round_),
    )


def _troubles(round_: Round) -> list[Trouble]:
    """Clients that gave up, and open seats whose last update was refused."""
    found = round_.seats.filter(Q(status=SeatStatus.FAILED) | Q(status__in=OPEN) & ~Q(reason=""))
    codes = {SeatStatus.FAILED.value: SeatReason.CLIENT_FAILED}
    rows = found.order_by("seat").values_list("client__name", "status", "reason")
    return [Trouble(name, codes.get(status, SeatReason.REJECTED), reason) for name, status, reason in rows]


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
        return _seats_of(session)
    if schedules.of(session).goes_on():
        return round_.seats.exclude(status=SeatStatus.TRAINING, reason="")
    return round_.seats.all()


def _seats_of(session: TrainingSession) -> QuerySet[Participation]:
    return Participation.objects.filter(round__session=session)


@transaction.atomic
def fail(round_: Round, *, reason: Reason, now: datetime, lease_token: str | None = None) -> bool:
    """End a round without a model. The session's setting decides: try again, skip it, or fail the session."""
    guard = {} if lease_token is None else {"lease_token": lease_token}
    again, skipped = (round_.on_failure == one for one in (RoundFailure.RETRY, RoundFailure.SKIP))
    outcome = Outcome.SKIPPED if skipped else Outcome.NOTHING
    if not move(round_, RoundStatus.FAILED, guard=guard, outcome=outcome, closed_at=now, **reason.fields):
        return False
    session = round_.session
    ends = not again and (not skipped or round_.number >= session.rounds)
    seats.drop(_seats_of(session) if ends else round_.seats.all(), reason=reasons.ROUND_FAILED, closing=True)
    where: Payload = {"round": round_.number, "attempt": round_.attempt}
    events.record(session.pk, Event.Kind.ROUND_FAILED, **where, **reason.fields, retried=again, skipped=skipped)
    if skipped:
        _skip(round_, now)
    elif again:
        TrainingSession.objects.filter(pk=session.pk).update(idle_since=next_try_at(round_, now))
    else:
        times = "once" if round_.attempt == 1 else f"{round_.attempt} times"
        _fail_session(session, f"Round {round_.number} failed {times}. The last time: {reason.sentence}", now)
    return True


def _skip(round_: Round, now: datetime) -> None:
    """Go on with the next number from the last model. A session none of whose rounds made one has failed."""
    session = round_.session
    if not session.round_set.filter(outcome=Outcome.MODEL).exists() and session.rounds <= round_.number:
        _fail_session(session, "Every round failed and was skipped, so that there is no model to keep.", now)
    elif complete_or_go_on(round_, now):
        events.record(session.pk, Event.Kind.SESSION_COMPLETED, rounds=round_.number)


def _fail_session(session: TrainingSession, reason: str, now: datetime) -> None:
    fields = {"status": SessionStatus.FAILED, "reason": reason, "ended_at": now, "idle_since": None}
    if TrainingSession.objects.filter(pk=session.pk, status__in=LIVE).update(**fields):
        events.record(session.pk, Event.Kind.SESSION_FAILED, reason=reason)


@transaction.atomic
def fail_active(round_id: int, sentence: str, *, now: datetime) -> bool:
    """Fail a round for which a step was given up, whatever its state. False if it is over."""
    round_ = Round.objects.select_for_update().filter(pk=round_id, status__in=ACTIVE).first()
    return round_ is not None and fail(round_, reason=reasons.internal(sentence), now=now)


@transaction.atomic
def fail_unopened(session: TrainingSession, sentence: str, *, now: datetime) -> bool:
    """Fail the next round of a session, which could not be opened: it has no seats, so nobody is asked."""
    following, base = next_try(session), session.last_model()
    if following is None or base is None:
        return False
    number, attempt = following
    times = {"opened_at": now, "deadline": now}
    round_ = Round.objects.create(session=session, number=number, attempt=attempt, base_model=base, **times)
    return fail(round_, reason=reasons.internal(sentence), now=now)


@transaction.atomic
def give_up(session: TrainingSession, *, reason: Reason, now: datetime) -> None:
    """Fail the open round and the session: what they stand on is lost, so that trying again would not help."""
    round_ = Round.objects.select_for_update().filter(session=session, status__in=ACTIVE).first()
    ends = {"outcome": Outcome.NOTHING, "closed_at": now, **reason.fields}
    failed = round_ is not None and move(round_, RoundStatus.FAILED, **ends)
    seats.drop(_seats_of(session), reason=reasons.ROUND_FAILED, closing=True)
    if round_ is not None and failed:
        where: Payload = {"round": round_.number, "attempt": round_.attempt}
        events.record(session.pk, Event.Kind.ROUND_FAILED, **where, **reason.fields, retried=False)
    _fail_session(session, reason.sentence, now)


@transaction.atomic
def cancel_active(session: TrainingSession, *, now: datetime) -> None:
    """Cancel the open round and the seats of a session that is being cancelled. What was sent for it is not counted."""
    round_ = Round.objects.select_for_update().filter(session=session, status__in=ACTIVE).first()
    ends = {"outcome": Outcome.NOTHING, "closed_at": now, **reasons.CANCELLED.fields}
    cancelled = round_ is not None and move(round_, RoundStatus.CANCELLED, **ends)
    seats.drop(_seats_of(session), reason=reasons.SESSION_CANCELLED)
    if round_ is not None and cancelled:
        where: Payload = {"round": round_.number, "attempt": round_.attempt}
        events.record(session.pk, Event.Kind.ROUND_CANCELLED, **where, **reasons.CANCELLED.fields)


@transaction.atomic
def stop_early(session: TrainingSession, *, now: datetime) -> bool:
    """Complete a session between two rounds, if the server's measurements say that it has learnt enough."""
    if not early_stop.by_server(session.early_stop):
        return False
    session.refresh_from_db(fields=["status", "idle_since"])
    last = session.last_model()
    if session.status not in LIVE or last is None or last.round_id is None or session.active_round() is not None:
        return False
    stop = stopping.by_server(session)
    if stop is None:
        return False
    seats.drop(_seats_of(session), reason=reasons.SESSION_COMPLETED)
    # Whoever opens a round meanwhile changes `idle_since`.
    idle = TrainingSession.objects.filter(pk=session.pk, status__in=LIVE, idle_since=session.idle_since)
    if not idle.update(status=SessionStatus.COMPLETED, ended_at=now, idle_since=None):
        transaction.set_rollback(True)
        return False
    events.record(session.pk, Event.Kind.SESSION_COMPLETED, rounds=last.version, early_stop=stop)
    return True


def complete_or_go_on(round_: Round, now: datetime, *, enough: bool = False) -> bool:
    """Complete the session after its last round, or note since when it waits for the next. True if completed.

    enough: it has learnt enough, however many rounds are left.
    """
    live = TrainingSession.objects.filter(pk=round_.session_id, status__in=LIVE)
    # The number of rounds is compared in the database: more may have been added while this one was aggregated.
    done = live if enough else live.filter(rounds__lte=round_.number)
    if done.exists():  # seats are locked before the session
        seats.drop(_seats_of(round_.session), reason=reasons.SESSION_COMPLETED)
    completed = done.update(status=SessionStatus.COMPLETED, ended_at=now, idle_since=None)
    if not completed:
        live.update(idle_since=now)
    return bool(completed)
