"""`advance` makes the one move that is due. Every trigger just calls it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from federation import logs, schedules
from federation.compiled import Select
from federation.lifecycle import ACTIVE, OPEN, FileStatus, RoundStatus, WorkKind
from federation.models import Participation, Round, TrainingSession
from federation.services import seats, server, steps
from federation.services.rounds import initialising, measuring
from federation.services.rounds.aggregating import aggregate, claim
from federation.services.rounds.candidates import pool
from federation.services.rounds.closing import (
    close,
    fail_active,
    fail_unopened,
    stop_early,
)
from federation.services.rounds.opening import Turn, open_for, ready, turns
from federation.services.steps import Step, StepFailed


def advance(session: TrainingSession, *, now: datetime) -> bool:
    """Make the one move that is due, if any. True if something moved.

    Every trigger (an upload, a deadline, a button, a restarted worker) just calls this.
    It is safe to call too often and from two workers at once: the database picks a winner.
    """
    if session.schedule in schedules.JOINED and _expire(session, now):
        return True
    round_ = _active_round(session)
    if round_ is None:
        return initialising.open_for(session, now) or _stop_early(session, now) or open_next(now=now)
    if measuring.is_to_invite(round_) and _attempt("open", round_, partial(measuring.invite, round_, now), now):
        return True
    if round_.status != RoundStatus.AGGREGATING:
        # A seat that reported has freed its client, perhaps for another session.
        return _attempt("close", round_, partial(close, round_, now=now), now) or open_next(now=now)
    if round_.kind == WorkKind.INITIALISE:
        return _attempt("take", round_, partial(initialising.make, round_, now), now)
    if round_.base.file_status == FileStatus.DAMAGED:  # until it is made again
        return False
    return _attempt("aggregate", round_, partial(_claim_and_aggregate, round_, now), now)


def _expire(session: TrainingSession, now: datetime) -> bool:
    return server.may_miss_deadlines(now) and seats.expire(session.pk, now=now)


def _stop_early(session: TrainingSession, now: datetime) -> bool:
    step = Step(session, "decide whether to stop early")
    try:
        return steps.attempt(step, partial(stop_early, session, now=now), partial(fail_unopened, session, now=now))
    except StepFailed as failure:
        return failure.gave_up


def _attempt(does: str, round_: Round, do: Callable[[], bool], now: datetime) -> bool:
    """Do a step of a round. After the third failure for an unknown reason the round fails."""
    step = Step(round_.session, f"{does} {round_}", round_)
    try:
        with logs.about(session=round_.session_id, round=round_.number):
            moved = steps.attempt(step, do, partial(fail_active, round_.pk, now=now))
            if moved:
                logs.did.info("%s", step.does)
            return moved
    except StepFailed as failure:
        return failure.gave_up


def _claim_and_aggregate(round_: Round, now: datetime) -> bool:
    token = claim(round_, now=now)
    return token is not None and aggregate(round_, token, now=now)


_open_seats = Select(
    lambda round_: (
        Participation.objects.filter(round=round_, round__session__schedule__in=schedules.PATIENT, status__among=OPEN)
        .only("pk")
        .order_by()[:1]
    ),
    int,
)
_anybody_waits = Select(lambda: TrainingSession.objects.waiting_for_a_round().only("pk").order_by()[:1])
_active = Select(
    lambda session: (
        Round.objects.filter(session=session, status__among=ACTIVE).select_related("base_model").order_by("pk")[:1]
    ),
    int,
)


def _active_round(session: TrainingSession) -> Round | None:
    """The open round, of whatever kind: asked at every move."""
    if (found := _active.first(session.pk)) is not None:
        found.session = session
    return found


def may_move(round_id: int) -> bool:
    """Whether an update that was just accepted can have made a move due. What else can, the tick finds."""
    return not _open_seats(round_id) or bool(_anybody_waits())


def open_next(*, now: datetime) -> bool:
    """Open a round for the session whose turn it is: the one that waited longest, if it has enough clients.

    Sessions behind it that could ask the same clients wait while it waits for busy ones, so that a session that
    needs many is never starved by one that needs few. One that has too few clients online holds nobody up.
    """
    waiting = ready(now)
    if not waiting or not server.may_open(now):
        return False
    everyone = pool(now)
    while waiting:
        turn = next((turn for turn in turns(waiting, everyone) if turn.is_due or turn.error), None)
        if turn is None:
            return False
        try:
            if _take_turn(turn, now):
                return True
        except StepFailed as failure:
            if failure.gave_up:
                return True
        waiting.remove(turn.session)  # it delays no other session
    return False


def _take_turn(turn: Turn, now: datetime) -> bool:
    def open_it() -> bool:
        if turn.error is not None:
            raise turn.error
        return stop_early(turn.session, now=now, free=len(turn.free)) or open_for(
            turn.session, turn.free, turn.asked, now
        )

    step = Step(turn.session, "open the next round")
    return steps.attempt(step, open_it, partial(fail_unopened, turn.session, now=now))
