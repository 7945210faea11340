"""A session in six numbers."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Q, Sum

from dashboard.kit.progress import STRIP, Progress
from federation.fl.measures import Measure
from federation.lifecycle import ACTIVE, MADE, SessionStatus
from federation.models import GlobalModel, Participation, TrainingSession
from federation.services.models import choosing

MOST_RESULTS = 2
STUCK, STUCK_SECONDS = 3, 10.0  # medians and seconds after which a round says nothing of the pace


@dataclass(slots=True)
class Summary:
    session: TrainingSession
    progress: Progress
    last: GlobalModel | None
    before: GlobalModel | None
    median_seconds: float | None
    received_bytes: int
    ends_at: datetime | None

    @property
    def results(self) -> list[dict[str, Any]]:
        """The leading measures of the newest measured model, each with its change since the one before."""
        by = choosing.ordered(self.session)
        return [found for measure in by if (found := self._result(measure))][:MOST_RESULTS]

    def _result(self, measure: Measure) -> dict[str, Any] | None:
        name = measure.name
        for of, how in (("metrics", "central"), ("federated_metrics", "by the clients")):
            values = [choosing.value(model, of, name) for model in (self.last, self.before) if model]
            if values and values[0] is not None:
                change = values[0] - values[1] if len(values) > 1 and values[1] is not None else None
                if change is not None and abs(change) < 0.0005:  # nothing that is shown
                    change = 0.0
                better = change is not None and measure.gain(change, 0.0) > 0
                since = self.before.version if self.before else None
                return {
                    "name": measure.phrase,
                    "how": how,
                    "value": values[0],
                    "change": change,
                    "better": better,
                    "since": since,
                }
        return None


def of(session: TrainingSession, *, now: datetime) -> Summary:
    measured = ~Q(metrics={}) | ~Q(federated_metrics={})
    newest = list(session.models.filter(measured).order_by("-version")[:2])
    progress = _progress(session)
    received = Participation.objects.filter(round__session=session).aggregate(sum=Sum("num_bytes"))["sum"] or 0
    median = _median(session)
    return Summary(
        session=session,
        progress=progress,
        last=newest[0] if newest else None,
        before=newest[1] if len(newest) > 1 else None,
        median_seconds=median,
        received_bytes=received,
        ends_at=_end(progress, median, now),
    )


def _progress(session: TrainingSession) -> Progress:
    made = session.own_rounds.filter(outcome__in=MADE)
    shown = list(made.values_list("number", flat=True)) if session.rounds <= STRIP else []
    return Progress(session, len(shown) or made.count(), session.last_round(), frozenset(shown))


def _median(session: TrainingSession) -> float | None:
    """Of the last completed rounds, from opening to the new model."""
    rows = session.own_rounds.filter(outcome__in=MADE).order_by("-number")
    spans = rows.annotate(took=F("closed_at") - F("opened_at")).values_list("took", flat=True)[:30]
    found = [span.total_seconds() for span in spans]
    return statistics.median(found) if found else None


def _end(progress: Progress, median: float | None, now: datetime) -> datetime | None:
    """When the last round would end at the pace of those before; None where nothing runs, is known or keeps to it."""
    session, last = progress.session, progress.last
    if session.status != SessionStatus.RUNNING or median is None:
        return None
    spent = (now - last.opened_at).total_seconds() if last and last.status in ACTIVE else 0.0
    if spent > max(STUCK_SECONDS, STUCK * median):
        return None
    return now + timedelta(seconds=max(0.0, median * (session.rounds - progress.over) - min(spent, median)))
