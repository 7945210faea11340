"""What a session has behind it: its rounds and its models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from django.db.models import Count, Q

from dashboard.kit import charts, statuses
from dashboard.kit.results import MOST_MODELS
from dashboard.kit.seats import with_clients
from dashboard.kit.statuses import Word
from dashboard.pages.session import timeline
from federation.fl.measures import Measure
from federation.lifecycle import COUNTED, FileStatus, Outcome, RoundStatus, SeatStatus
from federation.models import Client, GlobalModel, Participation, Round, TrainingSession
from federation.services.models import choosing

ROWS = 10  # of rounds and of models, before one asks for more
MOST_ROWS = 1000
MOST_COLUMNS = 2  # of measures
MOST_DOTS = 24  # seats a round that are shown one by one


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
    values: Sequence[tuple[Measure, float | None]] = ()  # of the columns

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
    figures: dict[str, charts.Figure]
    best: GlobalModel | None
    columns: Sequence[Measure]

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
    by = choosing.ordered(session)
    best = choosing.best([model for model in models if model.version], by)
    columns = charts.measured(models, by)[:MOST_COLUMNS]
    shown = models[:rows]
    past = list(session.own_rounds.order_by("-number", "-attempt")[: rows + 1])
    more = session.own_rounds.count() - rows if len(past) > rows else 0
    updates = _updates(Q(round__model__in=shown, status=SeatStatus.AGGREGATED), "round__model")
    late = _updates(Q(counted_in__model__in=shown), "counted_in__model")
    versions = [
        Version(
            model,
            updates.get(model.pk, 0) if model.version else None,
            model == best,
            late.get(model.pk, 0),
            model.version == opened,
            [(measure, charts.value(model, measure.name)) for measure in columns],
        )
        for model in shown
    ]
    return History(_rounds(past[:rows]), more, versions, charts.global_figures(models, by), best, columns)


def _updates(of: Q, model: str) -> dict[int, int]:
    """How many updates of these seats went into each model. model: the path from a seat to it."""
    return dict(Participation.objects.filter(of).order_by().values_list(model).annotate(Count("pk")))


def _rounds(past: Sequence[Round]) -> list[PastRound]:
    found = {
        round_.pk: PastRound(round_, statuses.ROUND[RoundStatus(round_.status)], round_.outcome == Outcome.SKIPPED)
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
    rows = Participation.objects.filter(round__in=found).order_by("round", "seat")
    for seat in with_clients(rows):
        found[seat.round_id].seats.append((seat.client, statuses.of_seat(seat)))
        by_round[seat.round_id].append(seat)
    for pk, seats in by_round.items():
        if found[pk].round.closed_at is not None:
            last, found[pk].waited = timeline.kept_open(found[pk].round, seats)
            found[pk].waited_for = [seat.client for seat in last]
