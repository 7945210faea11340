"""What each client brings: its labels, its examples, and how its updates compare with the aggregate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.kit import formats, protection
from dashboard.pages.models import ingredients
from dashboard.pages.models.ingredients import Ingredient
from federation import parsing
from federation.lifecycle import Outcome, SeatStatus, SessionStatus
from federation.models import Client, GlobalModel, Participation, TrainingSession
from federation.services import info as infos
from federation.services import rounds
from federation.services.info import Info

MOST_CLIENTS = 30  # rows
MOST_SUSPECTED = 3  # said in the foot
MOST_LABELS = 20  # columns; the rarest share the last one
MOST_ROUNDS = 20  # columns
LEVELS = 8  # colours of a heat map, h0 to h7
APART = 0.2  # of its examples that a client would have to exchange for the mix of all, to be named
MEASURES = {"norm": "Update's norm", "cosine": "Cosine", "examples": "Examples"}


@dataclass(frozen=True, slots=True)
class Cell:
    text: str
    title: str
    level: int

    @property
    def shade(self) -> str:
        return f"h{self.level}"


@dataclass(slots=True)
class HeatRow:
    """counts_another: its client counted the labels of another workload than the session's."""

    client: Client
    cells: list[Cell | None] = field(default_factory=list)
    counts_another: bool = False


@dataclass(slots=True)
class Heat:
    """is_ahead: of clients that could be asked, before any was."""

    heads: Sequence[str]
    rows: list[HeatRow]
    hidden: int = 0
    foot: SafeString | str = ""
    is_ahead: bool = False

    @property
    def is_empty(self) -> bool:
        return not any(row.cells for row in self.rows)

    @property
    def some_do_not_share(self) -> bool:
        return any(not row.cells and not row.counts_another for row in self.rows)

    @property
    def columns(self) -> int:
        return len(self.heads)


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


def _level(share: float) -> int:
    """A colour for 0 to 1; only what is nothing gets the first one."""
    return 0 if share <= 0 else max(1, min(LEVELS - 1, round(share * (LEVELS - 1))))


# ---- labels


def labels(session: TrainingSession) -> Heat:
    """Examples of each label by client, as far as the sites share them; shaded by the share within the client.

    Of a draft, by those that it could ask now.
    """
    clients = list(_clients(session).order_by("ordinal"))
    told = {client.pk: infos.of(client.info) for client in clients}
    others = {pk for pk, info in told.items() if _is_of_another(info, session.workload)}
    counted = {pk: found for pk, info in told.items() if pk not in others and (found := _histogram(info))}
    whole: Counter[str] = Counter()
    for found in counted.values():
        whole.update(found)
    heads = _heads(whole)
    clients.sort(key=lambda client: client.pk not in counted)  # those that share come first; their order stays
    rows = [
        HeatRow(client, _label_cells(client, counted.get(client.pk), heads), client.pk in others)
        for client in clients[:MOST_CLIENTS]
    ]
    rows.sort(key=lambda row: row.client.ordinal)
    foot = _furthest(clients, counted, whole)
    return Heat(heads, rows, max(0, len(clients) - MOST_CLIENTS), foot, is_ahead=session.status == SessionStatus.DRAFT)


def _clients(session: TrainingSession) -> QuerySet[Client]:
    """Those that were asked; of a draft those that could be now."""
    if session.status == SessionStatus.DRAFT:
        could = rounds.pool(timezone.now(), session.workload).of(session).clients
        return Client.objects.filter(pk__in=[client.pk for client in could])
    asked = Participation.objects.filter(round__session=session, round__kind=session.kind).values("client")
    return Client.objects.filter(pk__in=asked)


def _is_of_another(info: Info, workload: str) -> bool:
    """Whether a client counted its labels for other workloads. Agents of version 0.1.0 do not say for which."""
    return bool(info.label_histogram) and info.examples is not None and workload not in info.examples


def _histogram(info: Info) -> Counter[str] | None:
    found = info.label_histogram
    return Counter(found) if found and sum(found.values()) else None


def _heads(whole: Counter[str]) -> list[str]:
    if len(whole) <= MOST_LABELS:
        return list(whole)
    return [*(label for label, _ in whole.most_common(MOST_LABELS - 1)), "others"]


def _label_cells(client: Client, found: Counter[str] | None, heads: Sequence[str]) -> list[Cell | None]:
    if found is None:
        return []
    whole = sum(found.values())
    named = {label: found[label] for label in heads if label in found}
    if heads[-1] == "others" and "others" not in found:
        named["others"] = whole - sum(named.values())
    largest = 0.5  # of its examples: the darkest, so that maps of several sessions are read alike
    return [
        Cell(
            formats.number(n := named.get(label, 0)),
            f"{client.name}, {label}: {formats.number(n)} of {formats.number(whole)}, {formats.share(n / whole)}",
            _level(n / whole / largest),
        )
        for label in heads
    ]


def _furthest(clients: Sequence[Client], counted: dict[int, Counter[str]], whole: Counter[str]) -> SafeString | str:
    """The client whose mix is furthest from that of the others, by total variation distance, and in what."""
    if len(counted) < 2:
        return ""
    found = [
        (*_apart(counted[client.pk], whole - counted[client.pk]), client) for client in clients if client.pk in counted
    ]
    apart, label, own, others, client = max(found, key=lambda one: one[0])
    if apart < APART:
        return "The mixes of labels are alike."
    return format_html(
        "Furthest from the mix of the others: <strong>{}</strong> ({}: {}, {} elsewhere).",
        client.name, label, formats.share(own), formats.share(others),
    )  # fmt: skip


def _apart(own: Counter[str], others: Counter[str]) -> tuple[float, str, float, float]:
    """The distance, and the label that makes most of it with its two shares."""
    here, there = sum(own.values()), max(1, sum(others.values()))
    shares = {label: (own[label] / here, others[label] / there) for label in own | others}
    label = max(shares, key=lambda one: abs(shares[one][0] - shares[one][1]))
    return sum(abs(a - b) for a, b in shares.values()) / 2, label, *shares[label]


# ---- by client and round


def _short(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 100_000 else f"{value:.0e}"


def by_round(session: TrainingSession, measure: str) -> Heat:
    """One measure of the updates of the newest rounds, as they were aggregated."""
    rounds = list(session.own_rounds.filter(outcome=Outcome.MODEL).order_by("-number")[:MOST_ROUNDS])[::-1]
    seats = Participation.objects.filter(Q(status=SeatStatus.AGGREGATED), round__in=rounds).select_related("client")
    values: dict[Client, dict[int, float]] = {}
    for seat in seats.order_by("client__ordinal"):
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
                    _level(found[one.pk] if measure == "cosine" else found[one.pk] / largest),
                )
                if one.pk in found
                else None
                for one in rounds
            ],
        )
        for client, found in values.items()
    ]
    return Heat([str(one.number) for one in rounds], rows[:MOST_CLIENTS], max(0, len(rows) - MOST_CLIENTS))
