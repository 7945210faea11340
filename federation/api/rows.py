"""Rows of the database as the API shows them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import Count, F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from federation import parsing
from federation.api.schemas import settings
from federation.lifecycle import ACTIVE, MADE, WorkKind
from federation.models import Client, GlobalModel, Metric, Participation, Round, TrainingSession
from federation.services import waiting


def session(row: TrainingSession, *, now: datetime) -> dict[str, Any]:
    return _session(row, row.active_round(of_any_kind=True), _counting(row.models.order_by("version")).last(), now)


def sessions(found: Sequence[TrainingSession], *, now: datetime) -> list[dict[str, Any]]:
    """Many at once, for few queries more than one costs."""
    active = {
        round_.session_id: round_
        for round_ in Round.objects.filter(session__in=found, status__among=ACTIVE).select_related("base_model")
    }
    newest = GlobalModel.objects.filter(session=OuterRef("pk")).order_by("-version").values("pk")[:1]
    keys = TrainingSession.objects.filter(pk__in=[row.pk for row in found]).values_list(Subquery(newest), flat=True)
    last = {model.session_id: model for model in _counting(GlobalModel.objects.filter(pk__in=list(keys)))}
    return [_session(row, active.get(row.pk), last.get(row.pk), now) for row in found]


def _counting(models: QuerySet[GlobalModel]) -> QuerySet[GlobalModel]:
    """The models, each with the number of its session's rounds that made what they are for: `completed`."""
    made = Round.objects.filter(session=OuterRef("session"), kind=F("session__kind"), outcome__in=MADE).order_by()
    counted = made.values("session").annotate(number=Count("pk")).values("number")
    return models.annotate(completed=Coalesce(Subquery(counted), 0))


def _session(row: TrainingSession, round_: Round | None, model: GlobalModel | None, now: datetime) -> dict[str, Any]:
    """round_: the active one, of whatever kind. model: the last one, from `_counting`."""
    return {
        "id": str(row.pk),
        "kind": row.kind,
        "initial_model": _initial(row, model),
        "client_ids": [str(client_id) for client_id in row.client_ids],
        **settings.values(row),
        "status": row.status,
        "reason": row.reason,
        "completed_rounds": getattr(model, "completed", 0),
        "round": _open_round(round_) if round_ and round_.kind == row.kind else None,
        "last_seq": row.last_seq,
        "model": {"version": model.version, "digest": model.digest} if model else None,
        "waiting": waiting.of(row, round_, now=now),
        "created_at": row.created_at,
        "started_at": row.started_at,
        "ended_at": row.ended_at,
    }


def _initial(row: TrainingSession, model: GlobalModel | None) -> str | None:
    """The digest of the model that it was made for, if it was made for one."""
    if row.kind == WorkKind.TRAIN:
        return row.initial_model.digest if row.initial_model else None
    return model.digest if model else None


def _open_round(row: Round) -> dict[str, Any]:
    return {"number": row.number, "attempt": row.attempt, "status": row.status, "deadline": row.deadline}


def round_(row: Round) -> dict[str, Any]:
    """Reads `seats` with their clients and where late ones count: prefetch them."""
    return {
        "kind": row.kind,
        "number": row.number,
        "attempt": row.attempt,
        "status": row.status,
        "outcome": row.outcome or None,
        **_reason(row),
        "opened_at": row.opened_at,
        "closed_at": row.closed_at,
        "metrics": row.metrics,
        "errors": row.errors,
        "participations": [_seat(seat) for seat in row.seats.all()],
    }


def _seat(row: Participation) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "client": reference(row.client),
        "status": row.status,
        **_reason(row),
        "num_examples": row.num_examples,
        "counted_examples": row.num_examples if row.counted_examples is None else row.counted_examples,
        "flags": row.flags,
        "digest": row.digest or None,
        "counted_in": row.counted_in.number if row.counted_in else None,
        "phase": row.phase,
        "fraction": row.done,
        "taken_at": row.taken_at,
        "reported_at": row.reported_at,
    }


def _reason(row: Round | Participation) -> dict[str, Any]:
    """Why it ended. Rows of version 0.1.0 have the sentence alone."""
    return {"reason": row.reason, "reason_code": row.reason_code or None, "reason_args": row.reason_args or {}}


def model(row: GlobalModel) -> dict[str, Any]:
    return {
        "version": row.version,
        "digest": row.digest,
        "num_bytes": row.num_bytes,
        "parent": row.parent.digest if row.parent else None,
        "round": row.version or None,
        "metrics": _numbers(row.metrics),
        "federated_metrics": _numbers(row.federated_metrics),
        "evaluation_error": row.evaluation_error or None,
    }


def _numbers(measured: object) -> dict[str, float]:
    found = measured.items() if isinstance(measured, dict) else ()
    return {name: number for name, value in found if (number := _finite(value)) is not None}


def _finite(value: object) -> float | None:
    return parsing.number(value, most=sys.float_info.max)


def metric(row: Metric) -> dict[str, Any]:
    """Reads the seat's client and round: select them."""
    return {
        "client": reference(row.participation.client),
        "round": row.participation.round.number,
        "attempt": row.participation.round.attempt,
        "name": row.name,
        "step": row.step,
        "value": _finite(row.value),
        "time": row.time,
    }


def client(row: Client, *, now: datetime) -> dict[str, Any]:
    return {
        "id": str(row.pk),
        "name": row.name,
        "online": row.is_online(now),
        "last_seen": row.last_seen,
        "enabled": row.enabled,
        "num_examples": row.num_examples,
        "tags": row.tags,
    }


def reference(row: Client) -> dict[str, str]:
    return {"id": str(row.pk), "name": row.name}
