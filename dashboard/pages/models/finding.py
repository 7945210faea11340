"""Models over all sessions, found and sorted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db.models import F, QuerySet
from django.db.models.expressions import OrderBy
from django.db.models.functions import Coalesce

from dashboard.kit import charts, results
from dashboard.kit.measured import Measured
from federation.fl import measures
from federation.fl.measures import Direction, Measure
from federation.fl.workloads import WORKLOADS
from federation.fl.workloads.measured import measures_of
from federation.lifecycle import WorkKind
from federation.models import GlobalModel, TrainingSession
from federation.services.models import choosing

NEWEST, LARGEST = "new", "size"
SORTABLE = tuple(one.name for one in choosing.USUAL)


def sorts(workloads: Iterable[str]) -> dict[str, str]:
    """What a list of models of these workloads can be sorted by, with titles."""
    known = [one for workload in workloads for one in _declared(workload)]
    mains = TrainingSession.objects.exclude(main_measure="").order_by("main_measure")
    known += [measures.of(name) for name in mains.values_list("main_measure", flat=True).distinct()]
    found = {one.name: one.title or one.name for one in known if one.name in SORTABLE}
    return {NEWEST: "Newest", **found, LARGEST: "Size"}


def _declared(workload: str) -> Sequence[Measure]:
    return measures_of(WORKLOADS.get(workload)) or choosing.USUAL[:2]


def found(*, query: str = "", workload: str = "", tag: str = "", sort: str = NEWEST) -> QuerySet[GlobalModel]:
    """Models that fit. Sorted by a measure, each has it as `measured_value`: the central one, else the clients'."""
    rows = GlobalModel.objects.filter(session__kind=WorkKind.TRAIN)  # an evaluation holds its model once more
    rows = rows.select_related("session").prefetch_related("tags").defer("slots_digest")
    if query:
        rows = rows.filter(session__name__icontains=query) | rows.filter(digest__startswith=query.lower())
    if workload:
        rows = rows.filter(session__workload=workload)
    if tag:
        rows = rows.filter(tags__name=tag)
    if sort in SORTABLE:
        return _by_measure(rows, measures.of(sort))
    return rows.order_by(F("num_bytes").desc() if sort == LARGEST else F("created_at").desc(), F("pk").desc())


def _by_measure(rows: QuerySet[GlobalModel], measure: Measure) -> QuerySet[GlobalModel]:
    """The best first; of those that are alike the one that training made fit best."""
    fit = next(one for one in choosing.USUAL if one.direction == Direction.MIN)
    rows = rows.annotate(measured_value=_number(measure.name), fit=_number(fit.name))
    return rows.order_by(_best_first(measure, "measured_value"), _best_first(fit, "fit"), F("pk").desc())


def _number(name: str) -> Coalesce:
    return Coalesce(Measured("metrics", name), Measured("federated_metrics", name))


def _best_first(measure: Measure, field: str) -> OrderBy:
    value = F(field)
    return value.desc(nulls_last=True) if measure.direction == Direction.MAX else value.asc(nulls_last=True)


def best(workload: str) -> dict[str, GlobalModel]:
    """The best of a workload by each measure, of what was trained."""
    names = [one.name for one in _declared(workload) if one.name in SORTABLE]
    tops = {name: found(workload=workload, sort=name).exclude(round=None).first() for name in names}
    return {name: model for name, model in tops.items() if model is not None and charts.value(model, name) is not None}


@dataclass(frozen=True, slots=True)
class Leading:
    """The leading measure of a model, by its session, and its value."""

    measure: Measure | None
    value: float | None


def with_leading(models: Iterable[GlobalModel]) -> None:
    """Give each model its leading measure, as `leading`."""
    for model in models:
        model.leading = Leading(*results.leading(model, choosing.ordered(model.session)))  # type: ignore[attr-defined]
