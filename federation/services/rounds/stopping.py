"""Early stop: whether a session has learnt enough. The clients' numbers or the server's decide, as its rule says.

A private session stops also before its epsilon would exceed its budget.

With the server's, the next round waits for the evaluator. The wait is read from rows: since `idle_since` the newest
model has no measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

from django.db.models import QuerySet

from federation.fl import early_stop
from federation.fl.measures import Measure
from federation.fl.numbers import bounded
from federation.models import GlobalModel, Round, TrainingSession
from federation.services import privacy, server
from federation.services.models.choosing import main_measure

NEWEST = 10  # models, of which the server has as a rule measured one
LONGEST = timedelta(minutes=10)  # that a round waits for the server's measurement


def by_clients(round_: Round, federated: Mapping[str, float]) -> dict[str, Any] | None:
    """Why the session has learnt enough, with the clients' numbers of every model up to this round's base."""
    session, rule, measure = round_.session, round_.session.early_stop, main_measure(round_.session)
    if not rule or early_stop.by_server(rule) or measure is None or measure.name not in federated:
        return None
    newest, most = federated[measure.name], round_.base.version + 1
    if not early_stop.may_be_due(rule, measure, newest, most):
        return None
    before = session.models.filter(version__lt=round_.base.version)
    return _due(session, measure, [*_values(before, "federated_metrics", measure), newest])


def by_server(session: TrainingSession) -> dict[str, Any] | None:
    """Why the session has learnt enough, with the server's numbers of all its models."""
    rule, measure = session.early_stop, main_measure(session)
    if not rule or not early_stop.by_server(rule) or measure is None:
        return None
    models = session.models.order_by("-version")
    newest, most = _values(models[:NEWEST], "metrics", measure), models.count()
    if newest and not early_stop.may_be_due(rule, measure, newest[-1], most):
        return None
    return _due(session, measure, _values(models, "metrics", measure))


def due(last: Round) -> dict[str, Any]:
    """Why the session trains no further, decided once more after its last round. As the log says it; empty: it does."""
    known = last.base.federated_metrics
    if stop := by_clients(last, known if isinstance(known, dict) else {}):
        return {"early_stop": stop}
    return between(last.session)


def between(session: TrainingSession, free: int | None = None) -> dict[str, Any]:
    """Why a session opens no other round, between two of them. free: among how many clients it would choose."""
    if spent := privacy.exhausted(session, free):
        return {"privacy": spent}
    stop = by_server(session) if early_stop.by_server(session.early_stop) else None
    return {"early_stop": stop} if stop else {}


def _values(models: QuerySet[GlobalModel], of: str, measure: Measure) -> list[float]:
    """What is known of some models, by version. of: the only column that is read of them."""
    told = sorted(models.values_list("version", of), key=itemgetter(0))
    known = (bounded(numbers.get(measure.name)) for _, numbers in told if isinstance(numbers, dict))
    return [one for one in known if one is not None]


def _due(session: TrainingSession, measure: Measure, values: list[float]) -> dict[str, Any] | None:
    stop = early_stop.due(session.early_stop, measure, values) if session.early_stop else None
    return None if stop is None else {"measure": measure.name, **asdict(stop)}


def awaited(session: TrainingSession, now: datetime) -> GlobalModel | None:
    """The model that is to be measured before the session's next round opens. None: nothing holds the round up."""
    if not early_stop.by_server(session.early_stop) or session.idle_since is None:
        return None
    if now >= session.idle_since + LONGEST and server.may_miss_deadlines(now):
        return None
    last = session.last_round()
    if last is None or not last.is_over:  # another try of a round does not wait again
        return None
    return session.models.filter(round=last, evaluated_at=None).first()
