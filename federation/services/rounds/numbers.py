"""Completes a round whose answers are numbers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from federation import events
from federation.fl.numbers import bounded
from federation.lifecycle import Outcome, RoundStatus, WorkKind
from federation.models import Event, GlobalModel, Round
from federation.payloads import storable
from federation.reasons import Reason
from federation.services import seats
from federation.services.rounds import completing
from federation.services.rounds.federated import merged
from federation.services.rounds.moves import entry, move
from federation.work import Numbers

MOST_ALIKE = 100  # models of trainings with the same digest that get an evaluation's numbers, the oldest first


def keep(round_: Round, found: Numbers, *, reason: Reason, now: datetime) -> bool:
    """Keep what a round has found, and go on. False if someone moved it first. Call inside a transaction.

    reason: why seats that are still open end.
    """
    fields: dict[str, Any] = {"metrics": storable(dict(found.metrics)), "errors": storable(dict(found.errors))}
    if not move(round_, RoundStatus.AGGREGATING, collected_at=now):
        return False
    move(round_, RoundStatus.COMPLETED, outcome=Outcome.NUMBERS, closed_at=now, **fields)
    seats.drop(round_.seats.all(), reason=reason, closing=True)
    attach(round_.base.digest, found.metrics, of=round_.base.pk)
    told = {"results": round_.tally()["reported"], "metrics": fields["metrics"], "errors": fields["errors"]}
    seconds = (now - round_.opened_at).total_seconds()
    entries = [entry(round_, Event.Kind.ROUND_COMPLETED, **told, seconds=seconds)]
    events.record_all(round_.session_id, entries + completing.after(round_, now))
    return True


def attach(digest: str, metrics: Mapping[str, Any], *, of: int | None = None) -> None:
    """Keep the sites' numbers with the models of this digest. The first number of a measure stays.

    of: the row that was measured. Other evaluations of the model keep what they found themselves. Call inside a
    transaction.
    """
    found = {name: number for name, value in metrics.items() if (number := bounded(value)) is not None}
    alike = GlobalModel.objects.filter(digest=digest, session__kind=WorkKind.TRAIN).order_by("pk")
    of_trainings = list(alike.values_list("pk", flat=True)[:MOST_ALIKE])
    rows = GlobalModel.objects.select_for_update(of=("self",)).select_related("session")
    for model in rows.filter(pk__in=[*of_trainings, of or 0]).order_by("pk"):
        known = model.federated_metrics if isinstance(model.federated_metrics, dict) else {}
        kept = merged(known, found, model.session)
        if kept != known:
            GlobalModel.objects.filter(pk=model.pk).update(federated_metrics=kept)
