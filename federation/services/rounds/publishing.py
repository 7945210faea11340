"""Publishes a model and completes its round."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import transaction

from federation import events
from federation.compiled import Update
from federation.fl import aggregation, measures
from federation.fl.measures import Measure
from federation.fl.numbers import bounded
from federation.lifecycle import Outcome, RoundStatus, SeatStatus
from federation.models import Client, Event, GlobalModel, Participation, Round
from federation.services import seats
from federation.services.rounds import leaving_out, stopping, suspecting
from federation.services.rounds.completing import complete_or_go_on
from federation.services.rounds.federated import MOST_MEASURES, merged
from federation.services.rounds.leaving_out import LeftOut
from federation.services.rounds.moves import move
from federation.services.seats import flags
from federation.work.declared import declared, own

Payload = dict[str, Any]


@transaction.atomic
def publish(
    round_: Round,
    token: str,
    counted: Sequence[Participation],
    made: aggregation.Aggregated,
    left_out: Sequence[LeftOut] = (),
    *,
    began: datetime,
    now: datetime,
) -> bool:
    """Make a new global model known and complete its round. Only whoever holds the claim can."""
    done: Payload = {"outcome": Outcome.MODEL, "closed_at": now, "privacy": round_.privacy}
    if not move(round_, RoundStatus.COMPLETED, guard={"lease_token": token}, **done):
        return False
    own = [seat for seat in counted if seat.round_id == round_.pk]
    if _is_withdrawn(counted[len(own) :]):
        transaction.set_rollback(True)
        return False
    _keep_model(round_, made, now)
    _mark_counted(round_, counted, made)
    clipped = _flag_clipped(counted, made)
    suspected = suspecting.flag_odd(round_, counted, made)
    leaving_out.record(round_, left_out)
    federated = federated_metrics(own, declared(round_.session))  # late ones measured an older model
    federated = _keep_federated(round_, federated)
    work: Payload = {"updates": len(counted), "aggregation_seconds": (now - began).total_seconds()}
    if len(own) < len(counted):
        work["late"] = [seats.describe(seat) | {"staleness": seat.staleness} for seat in counted[len(own) :]]
    if clipped:
        work["clipped"] = [seats.describe(seat) | {"flags": seat.flags} for seat in clipped]
    if suspected:
        work["suspected"] = [seats.describe(seat) | {"flags": seat.flags} for seat in suspected]
    where: Payload = {"round": round_.number, "attempt": round_.attempt}
    model: Payload = {"version": round_.number, "digest": made.digest, "num_bytes": made.num_bytes}
    entries = [
        (Event.Kind.ROUND_AGGREGATED, where | work),
        (Event.Kind.MODEL_PUBLISHED, model | {"round": round_.number, "federated_metrics_of_base": federated}),
        (Event.Kind.ROUND_COMPLETED, where | work | {"seconds": (now - round_.opened_at).total_seconds()}),
    ]
    stop = stopping.by_clients(round_, federated)
    if complete_or_go_on(round_, now, enough=stop is not None):
        told: Payload = {"rounds": round_.number}
        entries.append((Event.Kind.SESSION_COMPLETED, told | ({"early_stop": stop} if stop else {})))
    events.record_all(round_.session_id, entries)
    return True


def _keep_federated(round_: Round, found: Mapping[str, float]) -> dict[str, float]:
    """Keep what the clients measured of a model. What an evaluation found of it before stays. Returns all of it."""
    rows = GlobalModel.objects.filter(pk=round_.base.pk)
    known = rows.values_list("federated_metrics", flat=True).first()
    numbers = merged(known if isinstance(known, dict) else {}, found, round_.session)
    rows.update(federated_metrics=numbers)
    return numbers


def _is_withdrawn(late: Sequence[Participation]) -> bool:
    """Whether a client of these late updates was disabled or removed while the round took them in.

    The round's own seats need no such check: withdrawing one ends the claim.
    """
    clients = [seat.client_id for seat in late]
    return bool(clients) and Client.objects.filter(pk__in=clients).exclude(enabled=True, removed_at=None).exists()


def _keep_model(round_: Round, made: aggregation.Aggregated, now: datetime) -> None:
    known = own(round_.session)
    evaluates = known is not None and known.needs_torch and not round_.session.staying_tensors
    GlobalModel.objects.create(
        session=round_.session,
        version=round_.number,
        digest=made.digest,
        num_bytes=made.num_bytes,
        slots_digest=made.slots_digest or "",
        parent=round_.base_model,
        round=round_,
        evaluated_at=None if evaluates else now,
        created_at=now,
    )


_set_counted = Update(Participation, "status", "norm", "cosine", "alignment")


def _flag_clipped(counted: Sequence[Participation], made: aggregation.Aggregated) -> list[Participation]:
    """Note whose updates were scaled down. Returns their seats."""
    if made.clipped is None:
        return []
    clipped = [counted[row] for row in made.clipped.rows]
    for seat in clipped:
        seat.flags = [*seat.flags, flags.norm_clipped(seat.update_norm or 0.0, made.clipped)]
        Participation.objects.filter(pk=seat.pk).update(flags=seat.flags)
    return clipped


def _mark_counted(round_: Round, counted: Sequence[Participation], made: aggregation.Aggregated) -> None:
    """Note what became of each update. A late one stays late: `counted_in` says where it counts."""
    _set_counted(
        (SeatStatus.AGGREGATED if seat.round_id == round_.pk else seat.status, norm, cosine, alignment, seat.pk)
        for seat, norm, cosine, alignment in zip(counted, made.norms, made.cosines, made.alignments, strict=True)
    )


def federated_metrics(counted: Sequence[Participation], declared: Sequence[Measure] = ()) -> dict[str, float]:
    """What the clients measured of the round's base model, each measure combined over them as it declares.

    Clients report it as `base_val_<name>` or `base_<name>`. Values that are no usable number are left out. Of too many
    measures those that are declared stay, then those that most clients report.
    """
    told = [_told(seat) for seat in counted]
    reports = Counter(name for one in told for name in one)
    found: dict[str, float] = {}
    first = {one.name for one in declared}
    for name in sorted(reports, key=lambda name: (name not in first, -reports[name], name))[:MOST_MEASURES]:
        given = [(one[name], seat.weight) for one, seat in zip(told, counted, strict=True) if name in one]
        combined = bounded(measures.of(name, declared).combined(given))
        if combined is not None:
            found[name] = combined
    return found


def _told(seat: Participation) -> dict[str, float]:
    """What one client measured of the base model, by the measure's name."""
    found: dict[str, float] = {}
    for prefix in reversed(measures.OF_BASE):  # the first one overwrites
        for reported, told in seat.metrics.items():
            if measures.split(reported)[0] == prefix and (number := bounded(told)) is not None:
                found[measures.split(reported)[1]] = number
    return found
