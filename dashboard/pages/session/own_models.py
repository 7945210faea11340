"""The last model at each site, beside a model of the site's own.

That is the site's personal model, if the session has such; otherwise what the site trained before it was averaged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Max

from dashboard.kit import formats
from dashboard.kit.evaluations import Evaluation, Site
from federation.fl import measures
from federation.fl.measures import Measure
from federation.fl.numbers import bounded
from federation.lifecycle import COUNTED, WorkKind
from federation.models import Client, Participation, TrainingSession

EDGE = 0.06  # of the axis, free on both sides


@dataclass(frozen=True, slots=True)
class Row:
    """One site. at_shared, at_own: where on the axis, from 0 to 1. gain: how much better the shared model is.

    round_number: in which the own model was trained; None of a personal one.
    """

    site: Site
    shared: float
    own: float
    round_number: int | None
    gain: float
    at_shared: float
    at_own: float
    told: str

    @property
    def client(self) -> Client:
        return self.site.client

    @property
    def is_behind(self) -> bool:
        return self.gain < 0


@dataclass(frozen=True, slots=True)
class Words:
    """What a page calls the own models. about: what one is, in the key; origin: where they come from."""

    adjective: str
    about: str
    origin: str


TRAINED = Words("own", "as the site trained it last", "its own model before it was averaged with others")
PERSONAL = Words(
    "personal",
    "which nobody else has",
    "its personal model as it is at the site, fine-tuned where the session asks for that",
)


@dataclass(frozen=True, slots=True)
class OwnModels:
    """rows: the site that loses most by the shared model first. low, high: the ends of the axis, in words.

    words: what the own models are called.
    """

    words: Words
    measure: Measure
    rows: Sequence[Row]
    low: str
    high: str
    finding: str


def of(session: TrainingSession, evaluation: Evaluation | None) -> OwnModels | None:
    """By the main measure, of the sites that a page shows. None where no site has both numbers. One query."""
    if evaluation is None or evaluation.main is None or session.kind != WorkKind.TRAIN:
        return None
    measure = evaluation.main
    place = [column.measure.name for column in evaluation.columns].index(measure.name)
    known = {site.client.pk: (site, value) for site in evaluation.shown if (value := site.values[place]) is not None}
    version = evaluation.model.version
    personal = _personal(known, measure)
    words, own = (PERSONAL, personal) if personal else (TRAINED, _own(session, known, measure, version))
    found = [(site, value, *own[key]) for key, (site, value) in known.items() if key in own]
    if not found:
        return None
    low, high = _ends([value for _, shared_, own_, _ in found for value in (shared_, own_)])
    rows = [_row(measure, *one, low, high) for one in found]
    rows.sort(key=lambda row: (row.gain, row.client.name))
    ends = formats.metric(low), formats.metric(high)
    return OwnModels(words, measure, rows, *ends, _finding(rows, f"v{version}", words, measure))


def _personal(known: Mapping[int, tuple[Site, float]], measure: Measure) -> dict[int, tuple[float, int | None]]:
    """By client: the number of its personal model, of those that measured one."""
    found: dict[int, tuple[float, int | None]] = {}
    for client, (site, _) in known.items():
        metrics = site.seat.metrics
        value = bounded(metrics.get(f"{measures.PERSONAL}{measure.name}")) if isinstance(metrics, dict) else None
        if value is not None:
            found[client] = (value, None)
    return found


def _own(
    session: TrainingSession, clients: Mapping[int, object], measure: Measure, version: int
) -> dict[int, tuple[float, int | None]]:
    """By client: the number on its held-out data of the model that it trained last and that counted; and the round.

    version: of the shared model. What was trained from it, or later, is no part of it.
    """
    mine = Participation.objects.filter(
        round__session=session, round__kind=WorkKind.TRAIN, status__in=COUNTED, client__in=list(clients)
    ).filter(base_version__lt=version)
    newest = mine.order_by().values("client").annotate(newest=Max("pk")).values("newest")
    seats = Participation.objects.filter(pk__in=newest).values_list("client", "metrics", "round__number")
    found: dict[int, tuple[float, int | None]] = {}
    for client, metrics, number in seats:
        value = bounded(metrics.get(f"val_{measure.name}")) if isinstance(metrics, dict) else None
        if value is not None:
            found[client] = (value, number)
    return found


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """The lowest and the highest value, apart."""
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - (abs(low) or 1.0) / 10, high + (abs(high) or 1.0) / 10)


def _row(measure: Measure, site: Site, shared: float, own: float, number: int | None, low: float, high: float) -> Row:
    gain = measure.gain(shared, own)
    at_shared, at_own = (EDGE + (1 - 2 * EDGE) * (value - low) / (high - low) for value in (shared, own))
    return Row(site, shared, own, number, gain, at_shared, at_own, _told(gain))


def _told(gain: float) -> str:
    if not gain:
        return "the same"
    return f"{formats.metric(abs(gain))} {'better' if gain > 0 else 'worse'}"


def _finding(rows: Sequence[Row], model: str, words: Words, measure: Measure) -> str:
    behind, ahead = sum(row.gain < 0 for row in rows), sum(row.gain > 0 for row in rows)
    sites = formats.count(len(rows), "site")
    same = len(rows) - behind - ahead
    alike = f", and as good at {same}" if same else ""
    beside = f"{model} is better than the site's {words.adjective} model at {ahead}, worse at {behind}{alike}"
    return f"Of {sites}, by {measure.phrase}: {beside}."
