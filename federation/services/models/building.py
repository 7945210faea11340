"""Makes models: a round's out of its files, the initial one from the seed; the first time, and again after damage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from django.db.models import F, Q, QuerySet

from federation import foreign, storage
from federation.fl import aggregation, strategies
from federation.fl.aggregation import Aggregated, UpdateFile
from federation.fl.privacy.mechanism import Private
from federation.fl.privacy.noise import Noise
from federation.lifecycle import COUNTED, SeatStatus
from federation.models import GlobalModel, Participation, Round, TrainingSession
from federation.services import privacy


def counted(round_: Round) -> QuerySet[Participation]:
    """The seats whose updates are in the round's model, in the order in which they are summed up.

    First the round's own, by seat; then the late ones of earlier rounds, by round and seat.
    """
    own = Q(round=round_, status__in=COUNTED)
    found = Participation.objects.filter(own | Q(counted_in=round_)).select_related("client", "round__base_model")
    return found.order_by(F("counted_in").asc(nulls_first=True), "round_id", "seat")


def files(round_: Round, seats: Sequence[Participation]) -> list[str]:
    """The digests of everything that is read to make the round's model."""
    base = round_.base
    older = dict.fromkeys(model.digest for seat in seats if (model := other_base(round_, seat)))
    found = (base.digest, base.slots_digest, *(seat.digest for seat in seats), *older)
    return [digest for digest in found if digest]


def other_base(round_: Round, seat: Participation) -> GlobalModel | None:
    """The model that a late update was trained from, if the round needs it: to know the values of its buffers."""
    return seat.round.base if round_.session.buffers and seat.round_id != round_.pk else None


def make(
    round_: Round, seats: Sequence[Participation], out: Path, out_slots: Path, on_block: Callable[[], None]
) -> Aggregated:
    """Aggregate. The same files give the same bytes. Raises AggregationError, WeightsError, FileNotFoundError."""
    session, base = round_.session, round_.base
    with ExitStack() as files:

        def local(digest: str) -> Path:
            return files.enter_context(storage.local(digest))

        return aggregation.aggregate(
            strategies.build(session.strategy, session.strategy_options),
            base=local(base.digest),
            base_slots=local(base.slots_digest) if base.slots_digest else None,
            updates=[
                UpdateFile(
                    local(seat.digest),
                    seat.weight,
                    seat.staleness,
                    seat.update_norm,
                    local(older.digest) if (older := other_base(round_, seat)) else None,
                )
                for seat in seats
            ],
            out=out,
            out_slots=out_slots,
            buffers=session.buffers,
            stays=session.unsent,
            defences=session.defences,
            seed=(session.seed, round_.number, round_.attempt),
            **_of_clients(round_, seats),
            private=_private(round_, seats),
            on_block=on_block,
        )


def _private(round_: Round, seats: Sequence[Participation]) -> Private | None:
    """What the round's noise is made of: the session's secret, and everything that the model is made of."""
    clipping = privacy.clipping_of(round_.session)
    if clipping is None:
        return None
    noise = Noise(privacy.key(round_.session), round_.number, round_.attempt, files(round_, seats))
    return Private(clipping, noise, (round_.privacy or {}).get("expected"))


def _of_clients(round_: Round, seats: Sequence[Participation]) -> dict[str, Any]:
    """What a strategy whose clients keep a state has to know of them.

    population: how many have taken part in the session, in the models before or in this one.
    """
    session = round_.session
    if not strategies.STRATEGIES[session.strategy].keeps_at_clients:
        return {}
    before = Participation.objects.filter(
        round__session=round_.session_id,
        round__kind=round_.kind,
        round__number__lt=round_.number,
        status=SeatStatus.AGGREGATED,
    )
    known = set(before.order_by().values_list("client_id", flat=True).distinct())
    known.update(session.earlier_clients or ())
    population = len(known | {seat.client_id for seat in seats})
    return {"population": population, "learning_rate": session.learning_rate(round_.number)}


def initial_request(session: TrainingSession, out: Path) -> dict[str, Any]:
    """What the evaluator is asked for where a session's initial model needs torch."""
    return {
        "do": "initial",
        "workload": session.workload,
        "options": session.workload_options,
        "seed": session.seed,
        "out": str(out),
        **foreign.member_of_request(session.workload),
    }
