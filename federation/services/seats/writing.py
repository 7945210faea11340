"""What the calls of agents write: those that come at the same time share a transaction, and a numbering a session.

A session's events are numbered under its row, which is held until the commit reached the disk. With a transaction for
each call, a thousand clients would queue for that row. Here each web process holds it once for all calls that wait, and
nobody is answered before the commit. So what a kill leaves out is repeated by the agents, as ever.

The order of locks is that of everywhere: rounds, seats by their keys, the logs of sessions.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django.db import connection, transaction

from federation import events
from federation.compiled import cursor
from federation.events import Entry
from federation.models import Participation, Round
from federation.together import Together

Answer = TypeVar("Answer")

_STATUS = f'SELECT status FROM "{Round._meta.db_table}" WHERE id = %s'  # nosec B608  a name of ours
# Shared: updates of a round do not wait for each other, only whoever closes it waits for them, and they for it.
_SHARED = f"{_STATUS} FOR SHARE"


@dataclass(slots=True)
class Writing:
    """What the calls of one transaction see and add to. Whoever writes events adds them here instead of at once."""

    several: bool  # calls share the transaction
    statuses: dict[int, str] = field(default_factory=dict)  # of the rounds that stay as they are until its end
    entries: defaultdict[int, list[Entry]] = field(default_factory=lambda: defaultdict(list))

    def hold(self, round_id: int) -> str:
        """Keep a round from closing, and tell its status."""
        if round_id not in self.statuses:
            with cursor() as asking:
                asking.execute(_SHARED if connection.vendor == "postgresql" else _STATUS, [round_id])
                (self.statuses[round_id],) = asking.fetchone()
        return self.statuses[round_id]


class Alone(Exception):
    """This call takes further locks: it is tried again in a transaction of its own."""


@dataclass(frozen=True, slots=True)
class _Call:
    seat: Participation
    do: Callable[[Writing], Any]
    holds_round: bool


def write(seat: Participation, do: Callable[[Writing], Answer], *, holds_round: bool = False) -> Answer:
    """Do something that changes this seat and nothing else, and write its events. Returns what `do` returns.

    do: may be called twice, and must have done nothing where it raises. holds_round: its round is held before.
    """
    answer: Answer = _together(_Call(seat, do, holds_round))
    return answer


@transaction.atomic
def _write(calls: Sequence[_Call]) -> list[Any]:
    writing = Writing(several=len(calls) > 1)
    for round_id in sorted({call.seat.round_id for call in calls if call.holds_round}):
        writing.hold(round_id)
    answers = {call.seat.pk: call.do(writing) for call in sorted(calls, key=lambda call: call.seat.pk)}
    for session_id, entries in sorted(writing.entries.items()):
        events.record_all(session_id, entries)
    return [answers[call.seat.pk] for call in calls]


_together: Together[_Call, Any] = Together(_write, key=lambda call: call.seat.pk)
