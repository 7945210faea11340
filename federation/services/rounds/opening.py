"""Who takes part in a round: whose turn it is, which clients are free, and who is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from federation import events, schedules
from federation.fl import sampling
from federation.lifecycle import ACTIVE, OPEN, SessionStatus
from federation.models import Client, Event, Participation, Round, TrainingSession
from federation.schedules import Crowd
from federation.services import seats
from federation.services.rounds import deadlines


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
    asked = schedules.of(session).asked(Crowd(candidates.online, len(free)))
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
    """When a failed round is tried again: at once the first time, later each time where it fails at once."""
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


def open_for(session: TrainingSession, free: Sequence[Client], asked: int, now: datetime) -> bool:
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
