"""What came out of sessions: their last and their best model, in one query for all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Count, F, Q, Window
from django.db.models.functions import RowNumber

from dashboard.kit import charts, statuses
from dashboard.kit.statuses import Word
from federation.lifecycle import SessionStatus
from federation.models import GlobalModel, TrainingSession
from federation.services.models import choosing

MOST_MODELS = 5000  # that a figure shows


@dataclass(slots=True)
class Result:
    session: TrainingSession
    word: Word
    completed: int
    last: GlobalModel | None
    best: GlobalModel | None
    spark: str

    @property
    def accuracy(self) -> float | None:
        return charts.value(self.best, "accuracy") if self.best else None


def of(sessions: Sequence[TrainingSession]) -> list[Result]:
    """What came out of some sessions, in one query for all."""
    models = models_of(sessions)
    return [
        Result(
            session,
            statuses.SESSION[SessionStatus(session.status)],
            completed(models[session.pk]),
            max(models[session.pk], key=lambda model: model.version, default=None),
            choosing.best(models[session.pk]),
            charts.spark(charts.losses(models[session.pk])),
        )
        for session in sessions
    ]


def models_of(sessions: Sequence[TrainingSession]) -> defaultdict[int, list[GlobalModel]]:
    """The models of each session, the newest first, with what was measured of them.

    Each says in `made` how many rounds of its session made a model.
    """
    nth = Window(RowNumber(), partition_by=F("session"), order_by=F("version").desc())
    made = Window(Count("pk", filter=Q(version__gt=0)), partition_by=F("session"))
    rows = GlobalModel.objects.filter(session__in=sessions).annotate(nth=nth, made=made).filter(nth__lte=MOST_MODELS)
    found: defaultdict[int, list[GlobalModel]] = defaultdict(list)
    for model in rows.only("session_id", "version", "metrics", "federated_metrics").order_by("-version"):
        found[model.session_id].append(model)
    return found


def completed(models: Sequence[GlobalModel]) -> int:
    """How many rounds made a model: not the last version, for rounds may have been skipped."""
    return models[0].made if models else 0  # type: ignore[attr-defined]
