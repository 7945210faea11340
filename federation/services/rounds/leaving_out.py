"""Makes a model without the updates that would spoil it, as long as the quorum holds, and names their clients.

The choice depends only on the files. So the next worker after a killed one decides the same, and a model that is made
again contains the same updates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from federation import events, reasons, schedules, storage
from federation.fl.aggregation import Aggregated, AggregationError, SpoiltModel
from federation.fl.defences import Defence
from federation.fl.weights import WeightsError
from federation.lifecycle import SeatStatus
from federation.models import Event, Participation, Round
from federation.reasons import Reason
from federation.schedules import Tally
from federation.services import seats
from federation.services.models import building
from federation.services.seats import flags


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An update that is not counted, and why."""

    seat: Participation
    why: Reason


@dataclass(slots=True)
class Result:
    """The outcome: a model, or the reason why there is none."""

    counted: list[Participation]
    left_out: list[LeftOut] = field(default_factory=list)
    made: Aggregated | None = None
    failure: Reason | None = None


def make(
    round_: Round, seats_: Sequence[Participation], out: Path, out_slots: Path, on_block: Callable[[], None]
) -> Result:
    """Aggregate, and aggregate again without the updates to blame if the model cannot be stored.

    Each time at least one update less remains. Without the defence `finite` the round fails at once.
    """
    result = Result(list(seats_))
    while result.made is None and result.failure is None:
        try:
            with storage.refusing_when_full():
                result.made = building.make(round_, result.counted, out, out_slots, on_block)
        except SpoiltModel as error:
            _leave_out(round_, result, error)
        except (AggregationError, WeightsError, FileNotFoundError) as error:
            result.failure = reasons.misfit(str(error))
    return result


def _leave_out(round_: Round, result: Result, error: SpoiltModel) -> None:
    blamed = [result.counted[row] for row in error.rows]
    if not blamed or Defence.FINITE not in round_.session.defences:
        result.failure = reasons.not_finite(str(error), [seat.client.name for seat in blamed])
        return
    result.left_out += [LeftOut(seat, reasons.left_out(str(error))) for seat in blamed]
    result.counted = [seat for seat in result.counted if seat not in blamed]
    schedule, own = schedules.of(round_.session), sum(seat.round_id == round_.pk for seat in result.counted)
    left, needed = schedule.counted(Tally(0, own, len(result.counted) - own)), schedule.least
    if left < needed:
        everybody = [one.seat.client.name for one in result.left_out]
        result.failure = reasons.too_few_finite(str(error), everybody, left=left, needed=needed)


def record(round_: Round, left_out: Sequence[LeftOut]) -> None:
    """Reject these updates for good. Call it inside the transaction that publishes the model or fails the round."""
    entries = []
    for seat, why in ((one.seat, one.why.fields) for one in left_out):
        told = [*seat.flags, flags.left_out(round_.number)]
        fields = {"status": SeatStatus.REJECTED, "flags": told, "counted_in": None, "staleness": 0, **why}
        if Participation.objects.filter(pk=seat.pk, status=seat.status).update(**fields):
            entries.append((Event.Kind.UPDATE_REJECTED, seats.describe(seat) | why | {"flags": told}))
    if entries:
        events.record_all(round_.session_id, entries)
