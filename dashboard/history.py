"""What a session has behind it: its rounds, its models, and its results in six numbers."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Q, Sum

from dashboard import timeline
from dashboard.kit import charts, statuses
from dashboard.kit.statuses import Word
from federation.lifecycle import ACTIVE, COUNTED, FileStatus, RoundStatus, SeatStatus, SessionStatus
from federation.models import Client, GlobalModel, Participation, Round, TrainingSession
from federation.services.models import choosing

ROWS = 10  # of rounds and of models, before one asks for more
MOST_ROWS = 1000
MOST_DOTS = 24  # seats a round that are shown one by one
MOST_MODELS = 5000  # that a figure shows
STRIP = 48  # rounds that are shown as cells
STUCK, STUCK_SECONDS = 3, 10.0  # medians and seconds after which a round says nothing of the pace


@dataclass(slots=True)
class PastRound:
    """A closed round, or the open one."""

    round: Round
    word: Word
    skipped: bool = False  # it failed, and the session went on without it
    asked: int = 0
    updates: int = 0
    seats: list[tuple[Client, Word]] = field(default_factory=list)
    waited_for: list[Client] = field(default_factory=list)  # who ended last, if well after the others
    waited: timedelta | None = None  # after the ones before

    @property
    def took(self) -> timedelta | None:
        return self.round.closed_at - self.round.opened_at if self.round.closed_at else None


@dataclass(slots=True)
class Version:
    """A model with how many updates went into it."""

    model: GlobalModel
    updates: int | None
    is_best: bool
    late: int  # updates of earlier rounds that went into it, beside its own
    is_opened: bool = False  # its digest, snippets and lineage are shown

    @property
    def accuracy(self) -> float | None:
        return charts.value(self.model, "accuracy")

    @property
    def loss(self) -> float | None:
        return charts.value(self.model, "loss")

    @property
    def by_clients(self) -> bool:
        """Measured by the clients alone: there is no central test set."""
        return not choosing.measured(self.model, "metrics") and bool(choosing.measured(self.model, "federated_metrics"))

    @property
    def is_gone(self) -> bool:
        """Whether there is no file to download any more."""
        return self.model.file_status in (FileStatus.REMOVED, FileStatus.LOST)

    @property
    def pending(self) -> bool:
        return self.model.evaluated_at is None


@dataclass(slots=True)
class History:
    rounds: list[PastRound]
    more_rounds: int
    versions: list[Version]
    more_versions: int
    figures: dict[str, charts.Figure]
    best: GlobalModel | None

    @property
    def opened(self) -> GlobalModel | None:
        return next((version.model for version in self.versions if version.is_opened), None)

    @property
    def metrics_are_central(self) -> bool:
        return any(version.model.metrics or version.model.evaluation_error for version in self.versions)

    @property
    def unmeasured(self) -> list[GlobalModel]:
        """Those of its models whose evaluation failed, the newest first."""
        return [version.model for version in self.versions if version.model.evaluation_error]


def of(session: TrainingSession, *, rows: int = ROWS, opened: int | None = None) -> History:
    """The newest rounds and models, and the figure of all models. opened: the version that is shown in detail."""
    models = list(session.models.order_by("-version").defer("slots_digest")[:MOST_MODELS])
    best = choosing.best([model for model in models if model.version])
    shown = models[:rows]
    past = list(session.round_set.order_by("-number", "-attempt")[: rows + 1])
    more = session.round_set.count() - rows if len(past) > rows else 0
    updates = _updates(Q(round__model__in=shown, status=SeatStatus.AGGREGATED), "round__model")
    late = _updates(Q(counted_in__model__in=shown), "counted_in__model")
    versions = [
        Version(
            model,
            updates.get(model.pk) if model.version else None,
            model == best,
            late.get(model.pk, 0),
            model.version == opened,
        )
        for model in shown
    ]
    return History(_rounds(past[:rows]), more, versions, len(models) - len(shown), charts.global_figures(models), best)


def _updates(of: Q, model: str) -> dict[int, int]:
    """How many updates of these seats went into each model. model: the path from a seat to it."""
    return dict(Participation.objects.filter(of).order_by().values_list(model).annotate(Count("pk")))


def _rounds(past: Sequence[Round]) -> list[PastRound]:
    found = {
        round_.pk: PastRound(
            round_, statuses.ROUND[RoundStatus(round_.status)], round_.is_over and round_.status == RoundStatus.FAILED
        )
        for round_ in past
    }
    counts = (
        Participation.objects.filter(round__in=past)
        .order_by()
        .values("round")
        .annotate(asked=Count("pk"), updates=Count("pk", filter=Q(status__in=COUNTED)))
    )
    for row in counts:
        found[row["round"]].asked, found[row["round"]].updates = row["asked"], row["updates"]
    if max((one.asked for one in found.values()), default=0) <= MOST_DOTS:
        _add_seats(found)
    return list(found.values())


def _add_seats(found: dict[int, PastRound]) -> None:
    by_round: defaultdict[int, list[Participation]] = defaultdict(list)
    rows = Participation.objects.filter(round__in=found).select_related("client").order_by("round", "seat")
    for seat in rows:
        found[seat.round_id].seats.append((seat.client, statuses.of_seat(seat)))
        by_round[seat.round_id].append(seat)
    for pk, seats in by_round.items():
        if found[pk].round.closed_at is not None:
            last, found[pk].waited = timeline.kept_open(found[pk].round, seats)
            found[pk].waited_for = [seat.client for seat in last]


# ---- in six numbers


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a session is, in rounds. made: the numbers of those that made a model, where cells are shown."""

    session: TrainingSession
    completed: int  # rounds that made a model
    last: Round | None  # the newest round, open or closed
    made: Collection[int]

    @property
    def number(self) -> int:
        """The round that is open, or the last one."""
        return self.last.number if self.last else 0

    @property
    def over(self) -> int:
        """Rounds that are done with: they made a model or were skipped."""
        return self.number if self.last is None or self.last.is_over else self.number - 1

    @property
    def skipped(self) -> int:
        return max(0, self.over - self.completed)

    @property
    def done(self) -> float:
        return min(1.0, self.over / self.session.rounds)

    @property
    def strip(self) -> list[str]:
        """A class for each round's cell; empty where there are too many for cells."""
        if self.session.rounds > STRIP:
            return []
        return [self._cell(number) for number in range(1, self.session.rounds + 1)]

    def _cell(self, number: int) -> str:
        if number in self.made:
            return "is-done"
        if number <= self.over:
            return "is-skipped"
        is_open = self.last is not None and self.last.status in ACTIVE
        return "is-now" if is_open and number == self.number else ""


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
        """Accuracy and loss of the newest measured model, each with its change since the one before."""
        return [found for name in choosing.METRICS if (found := self._result(name))]

    def _result(self, name: str) -> dict[str, Any] | None:
        for of, how in (("metrics", "central"), ("federated_metrics", "by the clients")):
            values = [choosing.value(model, of, name) for model in (self.last, self.before) if model]
            if values and values[0] is not None:
                change = values[0] - values[1] if len(values) > 1 and values[1] is not None else None
                if change is not None and abs(change) < 0.0005:  # nothing that is shown
                    change = 0.0
                better = change is not None and (change > 0 if name == "accuracy" else change < 0)
                since = self.before.version if self.before else None
                return {
                    "name": name,
                    "how": how,
                    "value": values[0],
                    "change": change,
                    "better": better,
                    "since": since,
                }
        return None


def summary(session: TrainingSession, *, now: datetime) -> Summary:
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
    made = session.models.filter(version__gt=0)
    shown = list(made.values_list("version", flat=True)) if session.rounds <= STRIP else []
    return Progress(session, len(shown) or made.count(), session.last_round(), frozenset(shown))


def _median(session: TrainingSession) -> float | None:
    """Of the last completed rounds, from opening to the new model."""
    rows = session.round_set.filter(status=RoundStatus.COMPLETED).order_by("-number")
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
