"""What came out of sessions: their last and their best model, in one query for all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Count, F, Q, Window
from django.db.models.functions import RowNumber

from dashboard.kit import charts, statuses
from dashboard.kit.statuses import Word
from federation.fl.measures import Measure
from federation.fl.numbers import bounded
from federation.lifecycle import Outcome, SessionStatus, WorkKind
from federation.models import GlobalModel, Round, TrainingSession
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
    measure: Measure | None  # by which the best is the best
    value: float | None  # of the best


def of(sessions: Sequence[TrainingSession]) -> list[Result]:
    """What came out of some sessions, in one query for all, and one more where sessions measured a model."""
    models = models_of(sessions)
    found = _found([session.pk for session in sessions if session.kind != WorkKind.TRAIN])
    return [
        _of(session, models[session.pk]) if session.kind == WorkKind.TRAIN else _measured(session, found)
        for session in sessions
    ]


def _of(session: TrainingSession, models: Sequence[GlobalModel]) -> Result:
    by = choosing.ordered(session)
    best = choosing.best(models, by)
    measure, value = leading(best, by)
    return Result(
        session,
        statuses.SESSION[SessionStatus(session.status)],
        completed(models),
        max(models, key=lambda model: model.version, default=None),
        best,
        charts.spark(charts.by_version(models, by)),
        measure,
        value,
    )


def _found(evaluations: Sequence[int]) -> dict[int, Mapping[str, object]]:
    """What the sites of some sessions found together."""
    if not evaluations:
        return {}
    rows = Round.objects.filter(session__in=evaluations, outcome=Outcome.NUMBERS)
    known = rows.order_by("pk").values_list("session", "metrics")
    return {session: metrics for session, metrics in known if isinstance(metrics, dict)}


def _measured(session: TrainingSession, found: Mapping[int, Mapping[str, object]]) -> Result:
    """Of a session that measured a model: what its sites found together."""
    numbers = found.get(session.pk, {})
    known = [(one, value) for one in choosing.ordered(session) if (value := bounded(numbers.get(one.name))) is not None]
    measure, value = known[0] if known else (None, None)
    return Result(session, statuses.SESSION[SessionStatus(session.status)], 0, None, None, "", measure, value)


def leading(model: GlobalModel | None, by: Sequence[Measure]) -> tuple[Measure | None, float | None]:
    """The first of some measures that a model has a number of, and the number."""
    if model is not None:
        for measure in by:
            value = charts.value(model, measure.name)
            if value is not None:
                return measure, value
    return None, None


def models_of(sessions: Sequence[TrainingSession]) -> defaultdict[int, list[GlobalModel]]:
    """The models of each session, the newest first, with what was measured of them.

    Each says in `made` how many rounds of its session made a model.
    """
    nth = Window(RowNumber(), partition_by=F("session"), order_by=F("version").desc())
    made = Window(Count("pk", filter=Q(round__outcome=Outcome.MODEL)), partition_by=F("session"))
    rows = GlobalModel.objects.filter(session__in=sessions).annotate(nth=nth, made=made).filter(nth__lte=MOST_MODELS)
    found: defaultdict[int, list[GlobalModel]] = defaultdict(list)
    for model in rows.only("session_id", "version", "metrics", "federated_metrics").order_by("-version"):
        found[model.session_id].append(model)
    return found


def completed(models: Sequence[GlobalModel]) -> int:
    """How many rounds made a model: not the last version, for rounds may have been skipped."""
    return models[0].made if models else 0  # type: ignore[attr-defined]
