"""How many points and measures one client may add, and how often events report its progress.

The seat stores its number of points. The process remembers the rest, so an agent's call costs no extra query; each of
several processes counts only what it sees itself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock

from django.db.models import Sum

from federation.lifecycle import WorkKind
from federation.models import Metric, Participation

SEAT_POINTS = 100_000
SESSION_POINTS = 1_000_000  # of one client, over all its seats in a session
SEAT_MEASURES = 1_000  # names of curves
FREE_REPORTS = 600  # events about a seat's progress; after that, events without points come at most once in EVERY
EVERY = timedelta(seconds=0.5)
MOST_REMEMBERED = 4096


@dataclass(slots=True)
class Account:
    """What a client has reported in a session: for its present seat, and in all."""

    seat_id: int = 0
    seat_points: int = 0
    all_points: int = 0
    names: set[str] = field(default_factory=set)
    reports: int = 0
    reported_at: datetime | None = None

    def kept(self, names: Iterable[str]) -> list[bool]:
        """For each point, given its measure's name, whether it is within the quotas."""
        room = min(SEAT_POINTS - self.seat_points, SESSION_POINTS - self.all_points)
        fresh: set[str] = set()
        kept = []
        for name in names:
            is_new = name not in self.names and name not in fresh
            fits = room > 0 and not (is_new and len(self.names) + len(fresh) >= SEAT_MEASURES)
            kept.append(fits)
            if fits:
                room -= 1
                fresh |= {name} if is_new else set()
        return kept

    def add(self, count: int, names: set[str], *, at: datetime | None) -> None:
        """Note what was stored, and when an event reported it."""
        self.seat_points += count
        self.all_points += count
        self.names |= names
        if at is not None:
            self.reports, self.reported_at = self.reports + 1, at

    def may_tell(self, now: datetime) -> bool:
        """Whether an event without points is due."""
        return self.reports < FREE_REPORTS or self.reported_at is None or abs(now - self.reported_at) >= EVERY


def told() -> dict[str, int]:
    """The quotas, for a message about an exceeded one."""
    return {"seat_points": SEAT_POINTS, "session_points": SESSION_POINTS, "seat_measures": SEAT_MEASURES}


_accounts: OrderedDict[tuple[int, int], Account] = OrderedDict()  # by session and client, the most recent last
_lock = Lock()


def account(seat: Participation) -> Account:
    """The client's account. One or two queries if the process has not seen its work, except in a first round."""
    key = (seat.round.session_id, seat.client_id)
    with _lock:
        found = _accounts.get(key)
    if found is None or (found.seat_id == seat.pk and found.seat_points > seat.num_points):  # the seat was emptied
        first = (WorkKind.TRAIN, 1, 1, 0)
        is_first = (seat.round.kind, seat.round.number, seat.round.attempt, seat.num_points) == first
        found = Account(all_points=0 if is_first else _before(seat))
    if found.seat_id != seat.pk:
        found.seat_id, found.seat_points, found.names = seat.pk, seat.num_points, _names(seat)
        found.reports, found.reported_at = 0, None
    with _lock:
        _accounts[key] = found
        _accounts.move_to_end(key)
        while len(_accounts) > MOST_REMEMBERED:
            _accounts.popitem(last=False)
    return found


def _before(seat: Participation) -> int:
    """How many points a client has in a session."""
    seats = Participation.objects.filter(client=seat.client_id, round__session=seat.round.session_id).order_by()
    return seats.aggregate(total=Sum("num_points"))["total"] or 0


def _names(seat: Participation) -> set[str]:
    if not seat.num_points:
        return set()
    return set(Metric.objects.filter(participation=seat).order_by().values_list("name", flat=True).distinct())
