"""What sessions of a workload came to."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Count, F, Window
from django.db.models.functions import RowNumber

from dashboard.kit import results
from dashboard.kit.results import Result
from federation.models import TrainingSession

MOST = 10  # sessions on the page of one workload


def last_of(names: Collection[str]) -> dict[str, Result]:
    """The newest session of each workload that has one, with what came of it: three queries for all."""
    nth = Window(RowNumber(), partition_by=F("workload"), order_by=F("pk").desc())
    newest = TrainingSession.objects.filter(workload__in=names).annotate(nth=nth).filter(nth=1)
    return {one.session.workload: one for one in results.of(list(newest))}


def counted(names: Collection[str]) -> dict[str, int]:
    """How many sessions each workload had."""
    rows = TrainingSession.objects.filter(workload__in=names).order_by().values("workload")
    return {row["workload"]: row["n"] for row in rows.annotate(n=Count("pk"))}


def of(name: str) -> list[Result]:
    """The newest sessions of one workload."""
    return results.of(list(TrainingSession.objects.filter(workload=name).order_by("-pk")[:MOST]))
