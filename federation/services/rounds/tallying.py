"""Whether a round has the updates that it needs."""

from __future__ import annotations

from federation import schedules
from federation.lifecycle import Schedule as Name
from federation.models import Round
from federation.schedules import Schedule, Tally, Terms


def schedule_of(round_: Round) -> Schedule:
    """What decides about a round: its session's schedule. For a round of another kind one report is enough."""
    if round_.kind == round_.session.kind:
        return schedules.of(round_.session)
    return schedules.build(Name.SYNCHRONOUS.value, {}, Terms(quorum=1))


def of(round_: Round) -> Tally:
    """How its seats and updates stand. Late ones cost a query, and are looked for only where they count."""
    late = round_.late_seats.count() if round_.session.schedule in schedules.JOINED else 0
    return Tally(**round_.tally(), late=late)


def missing(round_: Round) -> int:
    """How many updates or results it still needs to make something; 0 or less: none."""
    schedule = schedule_of(round_)
    return schedule.least - schedule.counted(of(round_))
