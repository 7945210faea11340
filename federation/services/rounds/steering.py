"""What an operator does with an open round."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F

from federation import events, reasons, schedules
from federation.errors import Conflict, Invalid
from federation.lifecycle import OPEN, RoundStatus, WorkKind
from federation.models import Event, Participation, Round, TrainingSession
from federation.services import seats
from federation.services.rounds import tallying
from federation.services.rounds.closing import conclude
from federation.services.rounds.moves import entry

MAX_EXTENSION_SECONDS = 2_592_000
NO_RESULT = "Not yet: too few sites have reported their numbers."


@transaction.atomic
def finish(session: TrainingSession, *, by: str, now: datetime) -> None:
    """Close the open round with the updates or results that are in. Raises Conflict if they are too few."""
    round_ = _collecting(session)
    missing = tallying.missing(round_)
    if missing > 0:
        raise Conflict(not_yet(session, missing) if round_.kind == WorkKind.TRAIN else NO_RESULT)
    if conclude(round_, reason=reasons.finished(by), now=now):
        events.record_all(session.pk, [entry(round_, Event.Kind.ROUND_FINISHED, by=by)])


def not_yet(session: TrainingSession, missing: int) -> str:
    """Why a round cannot be finished."""
    more = "1 more update is" if missing == 1 else f"{missing} more updates are"
    goal = "to make a model" if schedules.of(session).least < session.quorum else f"for the quorum of {session.quorum}"
    return f"Not yet: {more} needed {goal}."


@transaction.atomic
def extend(session: TrainingSession, *, seconds: int, by: str) -> None:
    """Move the deadline of the open round, counted from where it is."""
    if not 1 <= seconds <= MAX_EXTENSION_SECONDS:
        raise Invalid(("seconds", f"seconds is {seconds}: choose 1 to {MAX_EXTENSION_SECONDS}."))
    round_ = _collecting(session)
    deadline = round_.deadline + timedelta(seconds=seconds)
    if not Round.objects.filter(pk=round_.pk, status=RoundStatus.COLLECTING).update(deadline=deadline):
        raise Conflict("The round closed just now.")
    timed = Participation.objects.filter(round__session=session, status__among=OPEN)
    timed.exclude(deadline=None).update(deadline=F("deadline") + timedelta(seconds=seconds))
    told = entry(round_, Event.Kind.ROUND_EXTENDED, seconds=seconds, deadline=deadline.isoformat(), by=by)
    events.record_all(session.pk, [told])


def skip(session: TrainingSession, seat_id: int, *, by: str) -> None:
    """Go on without one client in the open round."""
    round_ = _collecting(session)
    seat = round_.seats.select_related("client", "round").filter(pk=seat_id).first()
    if seat is None:
        raise Invalid(("participation", f"The open round has no participation {seat_id}."))
    seats.skip(seat, by=by)


def _collecting(session: TrainingSession) -> Round:
    round_ = session.active_round(of_any_kind=True)
    if round_ is None:
        raise Conflict(f"{session.name} has no open round.")
    if round_.status != RoundStatus.COLLECTING:
        raise Conflict(f"{str(round_).capitalize()} is {round_.status}; its seats are closed.")
    return round_
