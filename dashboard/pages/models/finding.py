"""Models over all sessions, found and sorted."""

from __future__ import annotations

from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce

from dashboard.kit import charts
from dashboard.kit.measured import Measured
from federation.models import GlobalModel
from federation.services.models import choosing

KEYS = {"accuracy": "accuracy", "measured_loss": "loss"}
SORTS = {"new": "Newest", "accuracy": "Accuracy", "loss": "Loss", "size": "Size"}
ORDER = {
    "new": (F("created_at").desc(), F("pk").desc()),
    "accuracy": (F("accuracy").desc(nulls_last=True), F("measured_loss").asc(nulls_last=True), F("pk").desc()),
    "loss": (F("measured_loss").asc(nulls_last=True), F("pk").desc()),
    "size": (F("num_bytes").desc(), F("pk").desc()),
}


def found(*, query: str = "", workload: str = "", tag: str = "", sort: str = "new") -> QuerySet[GlobalModel]:
    """Models that fit, each with `accuracy` and `measured_loss`: the central value, else the clients'."""
    rows = GlobalModel.objects.select_related("session").prefetch_related("tags").defer("slots_digest")
    if query:
        rows = rows.filter(session__name__icontains=query) | rows.filter(digest__startswith=query.lower())
    if workload:
        rows = rows.filter(session__workload=workload)
    if tag:
        rows = rows.filter(tags__name=tag)
    measured = {
        name: Coalesce(Measured("metrics", key), Measured("federated_metrics", key)) for name, key in KEYS.items()
    }
    return rows.annotate(**measured).order_by(*ORDER.get(sort, ORDER["new"]))


def best(workload: str) -> dict[str, GlobalModel]:
    """The best of a workload by each measure, of what was trained."""
    tops = {name: found(workload=workload, sort=name).filter(version__gt=0).first() for name in choosing.METRICS}
    return {name: model for name, model in tops.items() if model is not None and charts.value(model, name) is not None}
