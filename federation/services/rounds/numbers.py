"""Completes a round whose answers are numbers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from federation import events
from federation.fl.numbers import bounded
from federation.lifecycle import Outcome, RoundStatus
from federation.models import Event, GlobalModel, Round
from federation.payloads import storable
from federation.reasons import Reason
from federation.services import seats
from federation.services.rounds import completing
from federation.services.rounds.moves import entry, move
from federation.work import Numbers


def keep(round_: Round, found: Numbers, *, reason: Reason, now: datetime) -> bool:
    """Keep what a round has found, and go on. False if someone moved it first. Call inside a transaction.

    reason: why seats that are still open end.
    """
    fields: dict[str, Any] = {"metrics": storable(dict(found.metrics)), "errors": storable(dict(found.errors))}
    if not move(round_, RoundStatus.AGGREGATING, collected_at=now):
        return False
    move(round_, RoundStatus.COMPLETED, outcome=Outcome.NUMBERS, closed_at=now, **fields)
    seats.drop(round_.seats.all(), reason=reason, closing=True)
    attach(round_.base.digest, found.metrics)
    told = {"results": round_.tally()["reported"], "metrics": fields["metrics"], "errors": fields["errors"]}
    seconds = (now - round_.opened_at).total_seconds()
    entries = [entry(round_, Event.Kind.ROUND_COMPLETED, **told, seconds=seconds)]
    events.record_all(round_.session_id, entries + completing.after(round_, now))
    return True


def attach(digest: str, metrics: Mapping[str, Any]) -> None:
    """Keep the sites' numbers with every model of this digest. The first number of a measure stays."""
    found = {name: number for name, value in metrics.items() if (number := bounded(value)) is not None}
    for model in GlobalModel.objects.select_for_update().filter(digest=digest).order_by("pk"):
        known = model.federated_metrics if isinstance(model.federated_metrics, dict) else {}
        if not found.keys() <= known.keys():
            GlobalModel.objects.filter(pk=model.pk).update(federated_metrics=found | known)
