"""Past rounds side by side, a row a client: where its time went, and whom the others waited for."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.kit import formats, phases, statuses
from dashboard.kit.seats import with_clients
from dashboard.kit.statuses import Word
from dashboard.pages.session import lanes
from federation import earlier_reasons, schedules
from federation.lifecycle import COUNTED, RoundStatus, SeatReason
from federation.models import Client, Participation, Round, TrainingSession

ROUNDS = 20  # on a page
MOST = 30  # rows; above it those that kept rounds open the longest
WORTH = 0.05  # of a round's time, that one has to be waited for to be named
LEAST = timedelta(seconds=0.2)  # that one has to be waited for, however short the round
WORTH_ALL = 0.02  # of the time of all rounds, that has to be lost by waiting for the same clients to be told
NARROWEST = 0.25  # of an even share of the axis, so that a short round beside long ones stays in sight
ROOM, DIGIT = 0.012, 0.007  # shares of the axis that a round's number needs: around it, and for each digit
TIMED = 0.08  # that its length needs
ROOMY = 0.15  # that all its words need where the axis is narrow, as on paper
# Why seats ended that their round waited for until it closed.
AT_THE_END = (SeatReason.DEADLINE, SeatReason.ROUND_CLOSED, SeatReason.ROUND_FAILED, SeatReason.REJECTED)
UNKNOWN = "not measured"  # by the client, so that it is not known what it did
KINDS = {
    "offered": "waiting",
    "down": "transfer",
    "up": "transfer",
    "train": "training",
    "wait": "waiting",
    "work": UNKNOWN,
}


@dataclass(frozen=True, slots=True)
class Slot:
    """A round's stretch of the axis; x and width are shares of it."""

    round: Round
    word: Word
    x: float
    width: float

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    @property
    def took(self) -> timedelta:
        return _end(self.round) - self.round.opened_at

    @property
    def is_numbered(self) -> bool:
        return self.width >= ROOM + DIGIT * len(str(self.round.number))

    @property
    def is_timed(self) -> bool:
        return self.width >= TIMED

    @property
    def is_roomy(self) -> bool:
        return self.width >= ROOMY

    @property
    def heading(self) -> list[tuple[str, bool]]:
        """Which round it is: pieces of text, and whether a narrow page leaves the piece out."""
        number = (str(self.round.number), False)
        if not self.is_timed:
            return [number]
        again = [(f", try {self.round.attempt}", not self.is_roomy)] if self.round.attempt > 1 else []
        return [("Round ", not self.is_roomy), number, *again]

    @property
    def aggregation(self) -> tuple[float, float] | None:
        """x and width of the time in which the updates became a model."""
        if self.round.collected_at is None or self.round.status != RoundStatus.COMPLETED:
            return None
        x = self.at((self.round.collected_at - self.round.opened_at).total_seconds())
        return x, self.x + self.width - x

    def at(self, seconds: float) -> float:
        return self.x + self.width * min(1.0, max(0.0, seconds / max(self.took.total_seconds(), 0.001)))


@dataclass(slots=True)
class Bar:
    """A client's part in one round. Pieces are (phase, x, width); `wait` is done and waiting for the others."""

    slot: Slot
    seat: Participation
    word: Word
    title: str
    pieces: list[tuple[str, float, float]]
    end: float
    kept: float  # seconds that the others waited for it; 0: nobody did

    @property
    def is_out(self) -> bool:
        return self.seat.status not in COUNTED


@dataclass(slots=True)
class Row:
    client: Client
    bars: list[Bar] = field(default_factory=list)
    seconds: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    is_worst: bool = False
    says_too_little: bool = False  # a seat of it has no measured phases

    @property
    def kept_rounds(self) -> int:
        return sum(bar.kept > 0 for bar in self.bars)

    @property
    def kept_seconds(self) -> float:
        return sum(bar.kept for bar in self.bars)

    @property
    def label(self) -> str:
        return f"{self.client.name}: kept {self.kept_rounds} of {formats.count(len(self.bars), 'round')} open"

    def median(self, phase: str) -> float | None:
        found = self.seconds.get(phase)
        return statistics.median(found) if found else None

    @property
    def medians(self) -> list[float | None]:
        return [self.median(phase) for phase in ("down", "train", "up", "wait")]


@dataclass(slots=True)
class Timeline:
    slots: list[Slot]
    rows: list[Row]
    hidden: int  # clients that have no row
    shares: list[tuple[str, float]]  # of all clients' time
    saved: SafeString | None
    older: int | None  # the round from which the page before ends
    newer: int | None
    upto: int | None  # set when these are not the newest

    @property
    def has_unknown(self) -> bool:
        return any(row.seconds.get("work") for row in self.rows)

    @property
    def unmeasured(self) -> str:
        """The clients that did not say how long their phases took."""
        return formats.listed([row.client.name for row in self.rows if row.says_too_little])

    @property
    def span(self) -> str:
        first, last = self.slots[0].round.number, self.slots[-1].round.number
        return f"round {first}" if first == last else f"rounds {first} to {last}"


def of(session: TrainingSession, upto: int | None = None) -> Timeline | None:
    """Up to 20 closed rounds that end with the one whose id is `upto`, or with the newest."""
    closed = session.own_rounds.exclude(closed_at=None).order_by("-pk")
    found = list((closed.filter(pk__lte=upto) if upto else closed)[: ROUNDS + 1])
    if not found:
        return None
    shown = found[:ROUNDS][::-1]
    after = list(closed.filter(pk__gt=shown[-1].pk).order_by("pk").values_list("pk", flat=True)[: ROUNDS + 1])
    rows, shares, saved = _fill(slots := _slots(shown))
    return Timeline(
        slots=slots,
        rows=rows[:MOST] if len(rows) <= MOST else _slowest(rows),
        hidden=max(0, len(rows) - MOST),
        shares=shares,
        saved=saved,
        older=found[ROUNDS].pk if len(found) > ROUNDS else None,
        newer=after[min(len(after), ROUNDS) - 1] if after else None,
        upto=shown[-1].pk if after else None,
    )


def kept_open(round_: Round, seats: Sequence[Participation]) -> tuple[list[Participation], timedelta | None]:
    """Who ended last and how long the others had waited by then; nobody where it was hardly noticed.

    In a session whose clients join open rounds nobody waits for another.
    """
    if round_.session.schedule in schedules.JOINED:
        return [], None
    end = round_.collected_at or _end(round_)
    ends = {seat.pk: moment for seat in seats if (moment := _done(seat, end))}
    last = max(ends.values(), default=None)
    before = [moment for moment in ends.values() if moment != last]
    if last is None or not before:
        return [], None
    waited = last - max(before)
    if waited < max(LEAST, WORTH * (_end(round_) - round_.opened_at)):
        return [], None
    return [seat for seat in seats if ends.get(seat.pk) == last], waited


def _done(seat: Participation, end: datetime) -> datetime | None:
    """When a round no longer waited for a seat: with its report, or when it closed without it. None: it gave up."""
    code = earlier_reasons.of_seat(seat)
    if seat.status in COUNTED or (code == SeatReason.REJECTED and seat.reported_at):
        return min(end, seat.reported_at) if seat.reported_at else None
    return end if code in AT_THE_END else None


def _end(round_: Round) -> datetime:
    assert round_.closed_at is not None
    return round_.closed_at


def _slots(rounds: Sequence[Round]) -> list[Slot]:
    """Rounds end to end, each as wide as it was long."""
    took = [max((_end(one) - one.opened_at).total_seconds(), 0.001) for one in rounds]
    even = NARROWEST / len(rounds)
    widths = [max(even, seconds / sum(took)) for seconds in took]
    slots, x = [], 0.0
    for one, width in zip(rounds, widths, strict=True):
        share = width / sum(widths)
        slots.append(Slot(one, statuses.ROUND[RoundStatus(one.status)], x, share))
        x += share
    return slots


def _fill(slots: Sequence[Slot]) -> tuple[list[Row], list[tuple[str, float]], SafeString | None]:
    rows: dict[int, Row] = {}
    seats: defaultdict[int, list[Participation]] = defaultdict(list)
    found = Participation.objects.filter(round__in=[slot.round for slot in slots]).order_by("client__ordinal")
    for seat in with_clients(found):
        seats[seat.round_id].append(seat)
        rows.setdefault(seat.client_id, Row(seat.client))
    spent: Counter[str] = Counter()
    lost: Counter[frozenset[int]] = Counter()  # seconds, by the clients that were waited for together
    for slot in slots:
        late, waited = kept_open(slot.round, seats[slot.round.pk])
        if waited:
            lost[frozenset(seat.client_id for seat in late)] += waited.total_seconds()  # type: ignore[assignment]
        for seat in seats[slot.round.pk]:
            kept = waited.total_seconds() if waited and seat in late else 0.0
            _add(rows[seat.client_id], slot, seat, kept, spent)
    return list(rows.values()), _shares(spent), _saved(rows, lost, slots)


def _add(row: Row, slot: Slot, seat: Participation, kept: float, spent: Counter[str]) -> None:
    collected = slot.round.collected_at or _end(slot.round)
    seat.round = slot.round
    stops = lanes.phases(seat, slot.round, collected)
    until = (collected - slot.round.opened_at).total_seconds()
    joined = slot.round.session.schedule in schedules.JOINED
    if seat.status in COUNTED and not joined and stops and stops[-1][2] < until:
        stops.append(("wait", stops[-1][2], until))
    row.says_too_little |= not phases.is_measured(seat)
    for phase, begin, end in stops:
        row.seconds[phase].append(end - begin)
        spent[KINDS[phase]] += end - begin  # type: ignore[assignment]
    if seat.status in COUNTED:
        spent["aggregation"] += (_end(slot.round) - collected).total_seconds()  # type: ignore[assignment]
    word = statuses.of_seat(seat)
    pieces = [(phase, slot.at(begin), slot.at(end) - slot.at(begin)) for phase, begin, end in stops]
    done = slot.at(stops[-1][2]) if stops else slot.x
    row.bars.append(Bar(slot, seat, word, _title(row.client, slot, seat, word, stops), pieces, done, kept))


def _title(client: Client, slot: Slot, seat: Participation, word: Word, stops: Iterable[lanes.Stop]) -> str:
    names = {"down": "download", "train": "training", "up": "upload", "wait": "waiting", "work": "work (not measured)"}
    spans = ", ".join(f"{names.get(phase, phase)} {formats.duration(end - begin)}" for phase, begin, end in stops)
    reason = f": {seat.reason.rstrip('.')}" if seat.reason and seat.status not in COUNTED else ""
    return f"{client.name}, {slot.round}: {spans or 'no work done'}; {word.text.lower()}{reason}"


def _slowest(rows: Sequence[Row]) -> list[Row]:
    """The rows that have room: who kept rounds open the longest, then whose training took longest."""
    ranked = sorted(rows, key=lambda row: (-row.kept_seconds, -(row.median("train") or 0.0)))
    chosen = {row.client.pk for row in ranked[:MOST]}
    return [row for row in rows if row.client.pk in chosen]


def _shares(spent: Counter[str]) -> list[tuple[str, float]]:
    whole = sum(spent.values())
    kinds = ("training", "transfer", "waiting", *([UNKNOWN] if spent[UNKNOWN] else []), "aggregation")
    return [(kind, spent[kind] / whole) for kind in kinds] if whole else []


def _saved(rows: Mapping[int, Row], lost: Counter[frozenset[int]], slots: Sequence[Slot]) -> SafeString | None:
    """What the clients that cost the most cost, where it is worth telling; marks their rows."""
    whole = sum(slot.took.total_seconds() for slot in slots)
    together, seconds = max(lost.items(), key=lambda one: one[1], default=(frozenset(), 0))
    if seconds < WORTH_ALL * whole or not 0 < len(together) < len(rows):
        return None
    worst = [row for pk, row in rows.items() if pk in together]
    for row in worst:
        row.is_worst = True
    rounds = "this round" if len(slots) == 1 else f"these {len(slots)} rounds"
    return format_html(
        "Without waiting for <strong>{}</strong>, {} would have taken {} less of {}.",
        formats.listed([row.client.name for row in worst]),
        rounds,
        formats.duration(seconds),
        formats.duration(whole),
    )
