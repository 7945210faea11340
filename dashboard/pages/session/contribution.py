"""What each client brings: its labels, its examples, and how its updates compare with the aggregate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.db.models import Q, QuerySet
from django.utils import timezone

from dashboard.kit import formats, label_counts, protection
from dashboard.kit.heat import MOST_CLIENTS, Cell, Heat, HeatRow, level
from dashboard.kit.seats import with_clients
from dashboard.pages.models import ingredients
from dashboard.pages.models.ingredients import Ingredient
from federation import parsing
from federation.lifecycle import Outcome, SeatStatus, SessionStatus
from federation.models import Client, GlobalModel, Participation, TrainingSession
from federation.services import rounds

MOST_SUSPECTED = 3  # said in the foot
MOST_ROUNDS = 20  # columns
MEASURES = {"norm": "Update's norm", "cosine": "Cosine", "examples": "Examples"}


@dataclass(frozen=True, slots=True)
class Suspected:
    """sentence: what its updates have been since when."""

    client: Client
    sentence: str


@dataclass(slots=True)
class Contribution:
    labels: Heat
    by_round: Heat
    measure: str
    model: GlobalModel | None
    shares: list[Ingredient]
    suspected: list[Suspected]
    measures = MEASURES

    @property
    def rows(self) -> list[Ingredient]:
        return self.shares[:MOST_CLIENTS]

    @property
    def hidden(self) -> int:
        return max(0, len(self.shares) - MOST_CLIENTS)

    @property
    def first_suspected(self) -> list[Suspected]:
        return self.suspected[:MOST_SUSPECTED]

    @property
    def more_suspected(self) -> int:
        return max(0, len(self.suspected) - MOST_SUSPECTED)

    @property
    def largest(self) -> float:
        return max((one.share for one in self.shares), default=1.0)


def of(session: TrainingSession, measure: str = "") -> Contribution:
    """Of every client that was asked in the session; the newest rounds and the newest model."""
    measure = measure if measure in MEASURES else "norm"
    model = session.models.exclude(round=None).order_by("-version").first()
    shares = sorted(ingredients.of(model), key=lambda one: -one.share) if model else []
    return Contribution(labels(session), by_round(session, measure), measure, model, shares, _suspected(shares))


def _suspected(shares: Sequence[Ingredient]) -> list[Suspected]:
    """Whose updates have been odd beside the others' for several rounds."""
    told = ((one, protection.suspected(one.seat.flags)) for one in shares)
    return [Suspected(one.seat.client, sentence) for one, sentence in told if sentence]


# ---- labels


def labels(session: TrainingSession) -> Heat:
    """Examples of each label by client, as far as the sites share them. Of a draft, by those that it could ask now."""
    is_ahead = session.status == SessionStatus.DRAFT
    return label_counts.of(list(_clients(session).order_by("ordinal")), session.workload, is_ahead=is_ahead)


def _clients(session: TrainingSession) -> QuerySet[Client]:
    """Those that were asked; of a draft those that could be now."""
    if session.status == SessionStatus.DRAFT:
        could = rounds.pool(timezone.now(), session.workload).of(session).clients
        return Client.objects.filter(pk__in=[client.pk for client in could])
    asked = Participation.objects.filter(round__session=session, round__kind=session.kind).values("client")
    return Client.objects.filter(pk__in=asked)


# ---- by client and round


def _short(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 100_000 else f"{value:.0e}"


_IN_CELLS = ("client", "round", "norm", "cosine", "num_examples", "counted_examples")


def by_round(session: TrainingSession, measure: str) -> Heat:
    """One measure of the updates of the newest rounds, as they were aggregated."""
    rounds = list(session.own_rounds.filter(outcome=Outcome.MODEL).order_by("-number")[:MOST_ROUNDS])[::-1]
    seats = Participation.objects.filter(Q(status=SeatStatus.AGGREGATED), round__in=rounds).only(*_IN_CELLS)
    values: dict[Client, dict[int, float]] = {}
    for seat in with_clients(seats.order_by("client__ordinal")):
        value = parsing.number({"norm": seat.norm, "cosine": seat.cosine, "examples": seat.weight}[measure])
        if value is not None:
            values.setdefault(seat.client, {})[seat.round_id] = value
    largest = max((value for found in values.values() for value in found.values()), default=1.0) or 1.0
    say: Callable[[float], str] = formats.number if measure == "examples" else _short
    rows = [
        HeatRow(
            client,
            [
                Cell(
                    say(found[one.pk]).replace("-", "−"),
                    f"{client.name}, round {one.number}: {MEASURES[measure].lower()} {found[one.pk]:.4g}",
                    level(found[one.pk] if measure == "cosine" else found[one.pk] / largest),
                )
                if one.pk in found
                else None
                for one in rounds
            ],
        )
        for client, found in values.items()
    ]
    return Heat([str(one.number) for one in rounds], rows[:MOST_CLIENTS], max(0, len(rows) - MOST_CLIENTS))
