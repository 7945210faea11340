"""What a session has behind it: its rounds, its models, and its results in six numbers."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Q, Sum

from dashboard import charts, words
from dashboard.words import Word
from federation.lifecycle import ACTIVE, COUNTED, RoundStatus, SeatStatus, SessionStatus
from federation.models import Client, GlobalModel, Participation, Round, TrainingSession
from federation.services import quality

ROWS = 10  # of rounds and of models, before one asks for more
MOST_ROWS = 1000
MOST_DOTS = 24  # seats a round that are shown one by one
MOST_MODELS = 5000  # that a figure shows
WORTH = 0.05  # of a round's time, that one has to be waited for to be named
STRIP = 48  # rounds that are shown as cells


@dataclass(slots=True)
class PastRound:
    """A closed round, or the open one."""

    round: Round
    word: Word
    asked: int = 0
    updates: int = 0
    seats: list[tuple[Client, Word]] = field(default_factory=list)
    waited_for: Client | None = None  # who reported last, if well after the others
    waited: timedelta | None = None  # after the one before

    @property
    def took(self) -> timedelta | None:
        return self.round.closed_at - self.round.opened_at if self.round.closed_at else None


@dataclass(slots=True)
class Version:
    """A model with how many updates went into it."""

    model: GlobalModel
    updates: int | None
    is_best: bool

    @property
    def accuracy(self) -> float | None:
        return charts.value(self.model, "accuracy")

    @property
    def loss(self) -> float | None:
        return charts.value(self.model, "loss")

    @property
    def by_clients(self) -> bool:
        """Measured by the clients alone: there is no central test set."""
        return not self.model.metrics and bool(self.model.federated_metrics)

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
    def metrics_are_central(self) -> bool:
        return any(version.model.metrics for version in self.versions)


def of(session: TrainingSession, *, rows: int = ROWS) -> History:
    """The newest rounds and models, and the figure of all models."""
    models = list(session.models.order_by("-version").defer("slots_digest")[:MOST_MODELS])
    best = quality.best([model for model in models if model.version])
    shown = models[:rows]
    past = list(session.round_set.order_by("-number", "-attempt")[: rows + 1])
    more = session.round_set.count() - rows if len(past) > rows else 0
    updates = dict(
        Participation.objects.filter(round__model__in=shown, status=SeatStatus.AGGREGATED)
        .order_by()
        .values_list("round__model")
        .annotate(Count("pk"))
    )
    versions = [Version(model, updates.get(model.pk) if model.version else None, model == best) for model in shown]
    return History(_rounds(past[:rows]), more, versions, len(models) - len(shown), charts.global_figures(models), best)


def _rounds(past: Sequence[Round]) -> list[PastRound]:
    found = {round_.pk: PastRound(round_, words.ROUND[RoundStatus(round_.status)]) for round_ in past}
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
    reports: defaultdict[int, list[Participation]] = defaultdict(list)
    rows = Participation.objects.filter(round__in=found).select_related("client").order_by("round", "seat")
    for seat in rows:
        found[seat.round_id].seats.append((seat.client, words.of_seat(seat)))
        if seat.status in COUNTED and seat.reported_at:
            reports[seat.round_id].append(seat)
    for pk, seats in reports.items():
        if len(seats) < 2 or found[pk].round.closed_at is None:
            continue
        *_, before, last = sorted(seats, key=lambda seat: seat.reported_at or seat.round.opened_at)
        assert last.reported_at and before.reported_at
        waited, took = last.reported_at - before.reported_at, found[pk].took
        if took and waited >= WORTH * took:
            found[pk].waited_for, found[pk].waited = last.client, waited


# ---- in six numbers


@dataclass(slots=True)
class Summary:
    session: TrainingSession
    completed: int
    active: Round | None
    last: GlobalModel | None
    before: GlobalModel | None
    median_seconds: float | None
    received_bytes: int
    ends_at: datetime | None

    @property
    def number(self) -> int:
        """The round that is open, or the last one."""
        return self.active.number if self.active else self.completed

    @property
    def strip(self) -> list[str]:
        return strip(self.session, self.completed, self.active.number if self.active else 0)

    @property
    def done(self) -> float:
        return min(1.0, self.completed / self.session.rounds)

    @property
    def results(self) -> list[dict[str, Any]]:
        """Accuracy and loss of the newest measured model, each with its change since the one before."""
        return [found for name in quality.METRICS if (found := self._result(name))]

    def _result(self, name: str) -> dict[str, Any] | None:
        for of, how in (("metrics", "central"), ("federated_metrics", "by the clients")):
            values = [_number(getattr(model, of).get(name)) for model in (self.last, self.before) if model]
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


def strip(session: TrainingSession, completed: int, active: int) -> list[str]:
    """A class for each round's cell; empty where there are too many for cells."""
    if session.rounds > STRIP:
        return []
    return ["is-now" if n == active else "is-done" if n <= completed else "" for n in range(1, session.rounds + 1)]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def summary(session: TrainingSession, *, now: datetime) -> Summary:
    measured = ~Q(metrics={}) | ~Q(federated_metrics={})
    newest = list(session.models.filter(measured).order_by("-version")[:2])
    completed = session.models.order_by("-version").values_list("version", flat=True).first() or 0
    active = session.round_set.filter(status__in=ACTIVE).first()
    received = Participation.objects.filter(round__session=session).aggregate(sum=Sum("num_bytes"))["sum"] or 0
    median = _median(session)
    return Summary(
        session=session,
        completed=completed,
        active=active,
        last=newest[0] if newest else None,
        before=newest[1] if len(newest) > 1 else None,
        median_seconds=median,
        received_bytes=received,
        ends_at=_end(session, completed, active, median, now),
    )


def _median(session: TrainingSession) -> float | None:
    """Of the last completed rounds, from opening to the new model."""
    rows = session.round_set.filter(status=RoundStatus.COMPLETED).order_by("-number")
    spans = rows.annotate(took=F("closed_at") - F("opened_at")).values_list("took", flat=True)[:30]
    found = [span.total_seconds() for span in spans]
    return statistics.median(found) if found else None


def _end(
    session: TrainingSession, completed: int, active: Round | None, median: float | None, now: datetime
) -> datetime | None:
    """When the last round would end at the pace of those before; None where nothing runs or is known."""
    if session.status != SessionStatus.RUNNING or median is None:
        return None
    spent = (now - active.opened_at).total_seconds() if active else 0.0
    return now + timedelta(seconds=max(0.0, median * (session.rounds - completed) - min(spent, median)))
