"""Who takes part in a round: whose turn it is, which clients are free, and who is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction

from federation import events, schedules
from federation.compiled import Select
from federation.lifecycle import ACTIVE, RoundReason, SessionStatus
from federation.models import Client, Event, Round, TrainingSession
from federation.schedules import Crowd
from federation.services import privacy, seats
from federation.services.rounds import deadlines, drawing, joining, stopping
from federation.services.rounds.candidates import Pool
from federation.services.rounds.drawing import Drawn
from federation.services.rounds.moves import entry
from federation.services.seats import late


@dataclass(frozen=True, slots=True)
class Turn:
    """What a session that waits for a round finds when it is its turn."""

    session: TrainingSession
    pool: Pool
    asked: int  # clients that the round would have
    free: list[Client]  # except those that are kept for the sessions before it
    ahead: list[TrainingSession]  # for whom some of its free clients are kept
    error: Exception | None = None  # why the turn could not be computed

    @property
    def is_due(self) -> bool:
        return self.error is None and self.needed <= self.asked <= len(self.free)

    @property
    def needed(self) -> int:
        """How many clients it needs at once."""
        return schedules.of(self.session).needed


def turns(waiting: Sequence[TrainingSession], everyone: Pool) -> Iterator[Turn]:
    """The turns of these sessions, in their order. A session whose turn cannot be computed delays no other."""
    kept: dict[int, TrainingSession] = {}  # for whom, by client
    for session in waiting:
        try:
            turn = _turn(session, everyone, kept)
        except Exception as error:  # of the session's own settings
            yield Turn(session, Pool([], []), 0, [], [], error)
            continue
        yield turn
        if turn.pool.online >= turn.needed:
            for client in turn.pool.clients:
                kept.setdefault(client.pk, session)


def _turn(session: TrainingSession, everyone: Pool, kept: Mapping[int, TrainingSession]) -> Turn:
    candidates = everyone.of(session)
    free = [client for client in candidates.free if client.pk not in kept]
    ahead = {one.pk: one for client in candidates.free if (one := kept.get(client.pk))}
    asked = schedules.of(session).asked(Crowd(candidates.online, len(free), candidates.working))
    return Turn(session, candidates, asked, free, list(ahead.values()))


def next_try(session: TrainingSession) -> tuple[int, int] | None:
    """Number and attempt of the round to open: the next number, or the same again after a failure.

    None while one is open: another worker was faster.
    """
    last = session.last_round()
    if last is None:
        return 1, 1
    if last.status in ACTIVE:
        return None
    return (last.number + 1, 1) if last.is_over else (last.number, last.attempt + 1)


# Seconds after its opening before which a failed round is not tried again, by attempt; the last holds for all others.
PAUSES = (0, 5, 20, 60)


def next_try_at(failed: Round, now: datetime) -> datetime:
    """When a failed round is tried again: at once after its deadline and the first time, else later each time."""
    if failed.reason_code == RoundReason.QUORUM_AT_DEADLINE:
        return now
    seconds = PAUSES[min(failed.attempt, len(PAUSES)) - 1]
    return max(now, failed.opened_at + timedelta(seconds=seconds))


def rests(session: TrainingSession, now: datetime) -> bool:
    """Whether a session waits before it tries a round again: `idle_since` is still to come.

    A clock that was set back makes older times look so, too; they lie further ahead than any pause.
    """
    longest = timedelta(seconds=PAUSES[-1])
    if session.idle_since is None or not now < session.idle_since <= now + longest:
        return False
    last = session.last_round()
    return last is not None and not last.is_over


_waiting = Select(lambda: TrainingSession.objects.waiting_for_a_round())


def ready(now: datetime) -> list[TrainingSession]:
    """The sessions that wait for clients only: for no pause before another try, and for no measurement."""
    return [one for one in _waiting() if not rests(one, now) and not stopping.awaited(one, now)]


def open_for(session: TrainingSession, free: Sequence[Client], asked: int, now: datetime) -> bool:
    """Open a session's next round, or let clients join the one that is open. False if somebody was faster."""
    following = next_try(session)
    if following is None:
        return joining.join(session, free, asked, now)
    number, attempt = following
    try:
        with transaction.atomic():
            return _seat(session, number, attempt, drawing.draw(session, number, attempt, free, asked), now)
    except IntegrityError:  # another worker opened it, or gave one of these clients a seat elsewhere
        return False


def _seat(session: TrainingSession, number: int, attempt: int, drawn: Drawn, now: datetime) -> bool:
    if not drawing.still_online(drawn.clients, now):
        return False
    base = session.last_model()  # not always number - 1: a round may have been skipped
    if base is None:
        return False
    joined = session.schedule in schedules.JOINED
    running = TrainingSession.objects.filter(pk=session.pk, status=SessionStatus.RUNNING)
    if not running.update(idle_since=now if joined else None):
        return False
    learnt = deadlines.learn(session)
    deadline = now + timedelta(seconds=session.round_seconds)
    which = {"kind": session.kind, "number": number, "attempt": attempt}
    told_apart = privacy.opened(session, drawn.free)
    round_ = Round.objects.create(
        session=session, base_model=base, opened_at=now, deadline=deadline, privacy=told_apart, **which
    )
    if joined:
        seats.invite_for(round_, drawn.clients, now=now, seconds=session.round_seconds)
    else:
        seats.invite(round_, drawn.clients)
    late.take(round_)
    told: dict[str, Any] = {"deadline": deadline.isoformat(), "quorum": session.quorum}
    told["clients"] = [events.reference(client) for client in drawn.clients]
    told["selection"] = drawn.described()
    told |= {"learnt": learnt.as_json()} if learnt else {}
    events.record_all(session.pk, [entry(round_, Event.Kind.ROUND_OPENED, **told)])
    return True
