"""Evaluations: what each site found of a model on its own data, how far the sites are apart, and which one is worst."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Max, QuerySet

from dashboard.kit import derived, drawings, formats, statuses
from dashboard.kit.statuses import Word
from federation.fl import measures
from federation.fl.measures import Direction, Measure
from federation.fl.measures.combining import Why
from federation.fl.numbers import bounded
from federation.lifecycle import RoundStatus, SeatStatus, WorkKind
from federation.models import Client, GlobalModel, Participation, Phase, Round, TrainingSession
from federation.services.models import choosing

MOST = 20  # evaluations of one model or session, the newest first
MOST_COLUMNS = 3  # measures that are shown of each site
MOST_SITES = 50  # rows
MOST_DERIVED = 100  # sites whose counts are read for numbers that follow from them


Found = tuple[Participation, Mapping[str, Any]]
"""A seat, and what is known of it by measure."""


@dataclass(frozen=True, slots=True)
class Site:
    """One client's part. values: what it found, in the order of the evaluation's measures."""

    seat: Participation
    word: Word
    values: Sequence[float | None]
    is_worst: bool  # by the main measure; of two or more sites
    told: Sequence[tuple[Measure, str]]  # the leading measures, as a page shows them

    @property
    def client(self) -> Client:
        return self.seat.client

    @property
    def num_examples(self) -> int | None:
        return self.seat.num_examples


@dataclass(frozen=True, slots=True)
class Column:
    """One measure over all sites. together: combined as it declares; None where it is not. sites: with a number."""

    measure: Measure
    together: float | None
    lowest: float | None
    highest: float | None
    unusable: Sequence[str] = ()  # clients without a usable number
    worst: Client | None = None
    sites: int = 0

    @property
    def spread(self) -> float | None:
        """How far the sites are apart; None of fewer than two."""
        if self.sites < 2 or self.lowest is None or self.highest is None:
            return None
        return self.highest - self.lowest


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation of one model. columns: the main measure first. counts: sums over the sites, by name."""

    round: Round
    word: Word
    columns: Sequence[Column]
    sites: Sequence[Site]
    main: Measure | None
    counts: Mapping[str, Any]

    @property
    def model(self) -> GlobalModel:
        return self.round.base

    @property
    def session(self) -> TrainingSession:
        return self.round.session

    @property
    def is_open(self) -> bool:
        return self.round.closed_at is None

    @property
    def reported(self) -> int:
        return sum(site.seat.is_accepted for site in self.sites)

    @property
    def num_examples(self) -> int:
        """All examples that the model was measured on."""
        return sum(site.num_examples or 0 for site in self.sites)

    @property
    def leading(self) -> Sequence[Column]:
        return self.columns[:MOST_COLUMNS]

    @property
    def more(self) -> Sequence[Column]:
        return self.columns[MOST_COLUMNS:]

    @property
    def worst(self) -> Site | None:
        return next((site for site in self.sites if site.is_worst), None)

    @property
    def shown(self) -> Sequence[Site]:
        """Of many sites the worst and those still at work before others; their order stays."""
        if len(self.sites) <= MOST_SITES:
            return self.sites
        first = sorted(self.sites, key=lambda site: (not site.is_worst, not site.seat.is_open))[:MOST_SITES]
        chosen = {site.seat.pk for site in first}
        return [site for site in self.sites if site.seat.pk in chosen]

    @property
    def hidden(self) -> int:
        return len(self.sites) - len(self.shown)


@dataclass(frozen=True, slots=True)
class Result:
    """What one client was asked to measure. main: the measure that leads; None where it sent no number."""

    seat: Participation
    word: Word
    main: Measure | None
    told: str  # the number, as a page shows it

    @property
    def session(self) -> TrainingSession:
        """The one that asked for it."""
        return self.seat.round.session

    @property
    def model(self) -> GlobalModel:
        """The model that has a page: an evaluation session holds it once more."""
        base = self.seat.round.base
        return base.parent if self.session.kind != WorkKind.TRAIN and base.parent is not None else base

    @property
    def when(self) -> datetime:
        """When it reported; of one that has not, when it was asked."""
        return self.seat.reported_at or self.seat.invited_at or self.seat.round.opened_at


def seats_of(client: Client) -> QuerySet[Participation]:
    """A client's seats in evaluations, the newest first."""
    mine = client.seats.filter(round__kind=WorkKind.EVALUATE).order_by("-pk").defer("counts")
    return mine.select_related("round__session", "round__base_model__session", "round__base_model__parent__session")


def result(seat: Participation) -> Result:
    """What came of a seat in an evaluation."""
    shown = _measures(seat.round.session, [seat])
    main = next((one for one in shown if one.direction != Direction.NONE), shown[0] if shown else None)
    return Result(seat, _word(seat), main, _told(_object(seat.metrics), main.name) if main else "–")


def of_session(session: TrainingSession) -> list[Evaluation]:
    """Those of a session, the newest first: of an evaluation session, or of a training's last model."""
    return _described(_evaluations().filter(session=session))


def of_model(digest: str) -> list[Evaluation]:
    """All evaluations of a model, whoever asked for them, the newest first."""
    return _described(_evaluations().filter(base_model__digest=digest))


def newest_of(sessions: Iterable[TrainingSession]) -> dict[int, Evaluation]:
    """The newest evaluation of each session that has one, by the session's key. Two queries."""
    newest = Round.objects.filter(kind=WorkKind.EVALUATE, session__in=sessions).order_by()
    keys = newest.values("session").annotate(newest=Max("pk")).values("newest")
    return {one.session.pk: one for one in _described(_evaluations().filter(pk__in=keys), all_in_full=True)}


def _evaluations() -> QuerySet[Round]:
    return Round.objects.filter(kind=WorkKind.EVALUATE).select_related("session", "base_model").order_by("-pk")


def _described(found: QuerySet[Round], *, all_in_full: bool = False) -> list[Evaluation]:
    """Two queries, whatever the number of sites. all_in_full: else only the newest is, as pages show it alone."""
    rounds = list(found[:MOST])
    seats: defaultdict[int, list[Participation]] = defaultdict(list)
    found_seats = Participation.objects.filter(round__in=rounds).select_related("client").order_by("round", "seat")
    for seat in found_seats.defer("client__info", "client__changes", "client__tags"):
        seats[seat.round_id].append(seat)
    return [_evaluation(round_, seats[round_.pk], in_full=all_in_full or round_ is rounds[0]) for round_ in rounds]


def _evaluation(round_: Round, seats: Sequence[Participation], *, in_full: bool) -> Evaluation:
    """in_full: with the numbers that follow from counts."""
    measured = _measures(round_.session, seats)
    found = [(seat, _object(seat.metrics)) for seat in seats]
    together = {name: _object(round_.metrics).get(name) for name in (one.name for one in measured)}
    if in_full:
        known = drawings.about(round_.session)
        found = [(seat, _with_derived(metrics, seat.counts, known)) for seat, metrics in found[:MOST_DERIVED]]
        found += [(seat, _object(seat.metrics)) for seat in seats[MOST_DERIVED:]]
        together = _with_derived(together, round_.metrics, known)
        names = {name for _, metrics in found for name in metrics} | set(together)
        measured += [measure for name, measure in derived.MEASURES.items() if name in names - _names(measured)]
    main = next((one for one in measured if one.direction != Direction.NONE), None)
    worst = _worst(main, found)
    return Evaluation(
        round=round_,
        word=statuses.ROUND[RoundStatus(round_.status)] if round_.closed_at else statuses.PHASE[Phase.EVALUATING],
        columns=[_column(round_, measure, together, found) for measure in measured],
        sites=[_site(seat, metrics, measured, seat is worst) for seat, metrics in found],
        main=main,
        counts={name: value for name, value in _object(round_.metrics).items() if bounded(value) is None},
    )


def _with_derived(metrics: Mapping[str, Any], counts: object, known: drawings.About) -> dict[str, Any]:
    """What was measured, and what follows from counts; a measured number of the same name stays."""
    return derived.numbers(_object(counts), known) | dict(metrics)


def _names(of: Iterable[Measure]) -> set[str]:
    return {one.name for one in of}


def _site(seat: Participation, metrics: Mapping[str, Any], shown: Sequence[Measure], is_worst: bool) -> Site:
    told = [(one, _told(metrics, one.name)) for one in shown[:MOST_COLUMNS]]
    return Site(seat, _word(seat), [bounded(metrics.get(one.name)) for one in shown], is_worst, told)


def _told(metrics: Mapping[str, Any], name: str) -> str:
    """A dash where a site told nothing, which is not the same as a number that is not finite."""
    return formats.metric(bounded(metrics.get(name))) if name in metrics else "–"


def _word(seat: Participation) -> Word:
    """Where a seat stands. One that says no phase is at the evaluation, and trains nothing."""
    begun = seat.status == SeatStatus.TRAINING and not seat.phase
    return statuses.PHASE[Phase.EVALUATING] if begun else statuses.of_seat(seat)


def _measures(session: TrainingSession, seats: Iterable[Participation]) -> list[Measure]:
    """What the sites measured: the session's measures in their order, then others by name."""
    names = {name for seat in seats for name in _object(seat.metrics)}
    ordered = [one.name for one in (*choosing.ordered(session), *choosing.declared(session)) if one.name in names]
    known = choosing.declared(session)
    return [measures.of(name, known) for name in dict.fromkeys([*ordered, *sorted(names)])]


def _column(round_: Round, measure: Measure, found: Mapping[str, Any], of: Sequence[Found]) -> Column:
    """found: of all sites together. of: of each."""
    values = [value for _, metrics in of if (value := bounded(metrics.get(measure.name))) is not None]
    error = _object(_object(round_.errors).get(measure.name))
    unusable = error.get("clients") if error.get("code") == Why.UNUSABLE else None
    together = bounded(found.get(measure.name))
    names = unusable if isinstance(unusable, list) else ()
    worst = _worst(measure, of)
    return Column(
        measure,
        together,
        min(values, default=None),
        max(values, default=None),
        names,
        worst.client if worst else None,
        len(values),
    )


def _worst(by: Measure | None, of: Sequence[Found]) -> Participation | None:
    """The site whose number is the worst; None without a direction, and where no two sites have different numbers."""
    if by is None or by.direction == Direction.NONE:
        return None
    known = [(value, seat) for seat, metrics in of if (value := bounded(metrics.get(by.name))) is not None]
    values = {value for value, _ in known}
    if len(values) < 2:
        return None
    top = min(values) if by.direction == Direction.MAX else max(values)
    return next(seat for value, seat in known if value == top)


def _object(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
