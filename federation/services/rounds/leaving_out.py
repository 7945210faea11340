"""Makes a model without the updates that would spoil it, as long as the quorum holds, and names their clients.

The choice depends only on the files. So the next worker after a killed one decides the same, and a model that is made
again contains the same updates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from federation import events, storage
from federation.fl.aggregation import Aggregated, AggregationError, SpoiltModel
from federation.fl.defences import Defence
from federation.fl.weights import WeightsError
from federation.lifecycle import SeatStatus
from federation.models import Event, Participation, Round
from federation.services import seats
from federation.services.models import building
from federation.services.seats import flags


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An update that is not counted, and why: a sentence."""

    seat: Participation
    why: str


@dataclass(slots=True)
class Result:
    """The outcome. made is None if there is no model; `failure` then says why."""

    counted: list[Participation]
    left_out: list[LeftOut] = field(default_factory=list)
    made: Aggregated | None = None
    failure: str = ""


def make(
    round_: Round, seats_: Sequence[Participation], out: Path, out_slots: Path, on_block: Callable[[], None]
) -> Result:
    """Aggregate, and aggregate again without the updates to blame if the model cannot be stored.

    Each time at least one update less remains. Without the defence `finite` the round fails at once.
    """
    result = Result(list(seats_))
    while result.made is None and not result.failure:
        try:
            with storage.refusing_when_full():
                result.made = building.make(round_, result.counted, out, out_slots, on_block)
        except SpoiltModel as error:
            _leave_out(round_, result, error)
        except (AggregationError, WeightsError, FileNotFoundError) as error:
            result.failure = str(error)
    return result


def _leave_out(round_: Round, result: Result, error: SpoiltModel) -> None:
    blamed = [result.counted[row] for row in error.rows]
    result.failure = str(error)
    if not blamed:
        return
    names = ", ".join(seat.client.name for seat in blamed)
    if Defence.FINITE not in round_.session.defences:
        result.failure += f" The update of {names} causes that."
        return
    result.left_out += [LeftOut(seat, f"The update was left out: {error}") for seat in blamed]
    result.counted = [seat for seat in result.counted if seat not in blamed]
    own = sum(seat.round_id == round_.pk for seat in result.counted)
    needed = max(1, round_.session.quorum)
    if own >= needed:
        result.failure = ""
        return
    everybody = ", ".join(one.seat.client.name for one in result.left_out)
    are = "update is" if own == 1 else "updates are"
    result.failure += f" Without the update of {everybody}, {own} {are} left, and {needed} are needed."


def record(round_: Round, left_out: Sequence[LeftOut]) -> None:
    """Reject these updates for good. Call it inside the transaction that publishes the model or fails the round."""
    entries = []
    for seat, why in ((one.seat, one.why) for one in left_out):
        told = [*seat.flags, flags.left_out(round_.number)]
        fields = {"status": SeatStatus.REJECTED, "reason": why, "flags": told, "counted_in": None, "staleness": 0}
        if Participation.objects.filter(pk=seat.pk, status=seat.status).update(**fields):
            entries.append((Event.Kind.UPDATE_REJECTED, seats.describe(seat) | {"reason": why, "flags": told}))
    if entries:
        events.record_all(round_.session_id, entries)
