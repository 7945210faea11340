"""Whether a round has the updates that it needs."""

from __future__ import annotations

from federation import schedules
from federation.models import Round
from federation.schedules import Tally


def of(round_: Round) -> Tally:
    """How its seats and updates stand. Late ones cost a query, and are looked for only where they count."""
    late = round_.late_seats.count() if round_.session.schedule in schedules.JOINED else 0
    return Tally(**round_.tally(), late=late)


def missing(round_: Round) -> int:
    """How many updates it still needs to make a model; 0 or less: none."""
    schedule = schedules.of(round_.session)
    return schedule.least - schedule.counted(of(round_))
