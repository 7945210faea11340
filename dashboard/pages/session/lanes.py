"""A round client by client: each seat's phases on one axis of time since the round opened."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db.models import BooleanField, Case, ExpressionWrapper, F, OuterRef, QuerySet, Subquery, When

from dashboard.kit import formats, protection, statuses
from dashboard.kit import phases as measured
from dashboard.kit.event_sentences.parts import results
from dashboard.kit.statuses import Word
from dashboard.pages.session.curves import LEAST_DONE
from federation import schedules
from federation.lifecycle import COUNTED, SeatStatus
from federation.models import Client, Metric, Participation, Phase, Round
from federation.services.seats import late

MOST = 100  # lanes on a page
REMEMBERED = 50  # rounds, for what was odd about a client's last update
SOON = 2.0  # seconds; an estimate below it is not worth its words
LEAST_UNKNOWN = 0.25  # seconds; answers under way need less
QUIET = 5.0  # seconds without progress from which on a pace counts them too
ROOM = {"start": (0.04, 0.2), "middle": (0.13, 0.13), "end": (0.2, 0.04)}  # around now, as in static/js/times.js
SCALES = (1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 450, 600, 900, 1200, 1800, 2700, 3600, 5400, 7200)
TICKS = (0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21_600, 43_200, 86_400, 604_800)


def seats(rounds: Iterable[Round]) -> QuerySet[Participation]:
    """The seats of some rounds, with their clients, the last step that each reported, and the flags of each client's
    last update that counted in one of the REMEMBERED rounds up to that one, in one query."""
    # Not in the order of the key itself: SQLite would walk all points of all sessions, from the newest on.
    newest = (F("pk") + 0).desc()
    last = Metric.objects.filter(participation=OuterRef("pk")).order_by(newest)
    is_superseded = ExpressionWrapper(late.SUPERSEDED, BooleanField())
    # Outside of a condition SQLite asks all of it, whatever the first part says.
    superseded = Case(When(status=SeatStatus.LATE, then=is_superseded), default=False)
    rows = Participation.objects.filter(round__in=rounds).select_related("client", "counted_in")
    up_to_this = Round.objects.filter(session=OuterRef(OuterRef("round__session")), pk__lte=OuterRef(OuterRef("round")))
    before = Participation.objects.filter(
        client=OuterRef("client"),
        round__in=up_to_this.order_by("-pk").values("pk")[:REMEMBERED],
        alignment__isnull=False,
    ).order_by(newest)
    rows = rows.annotate(
        last_step=Subquery(last.values("step")[:1]),
        is_superseded=superseded,
        newest_flags=Subquery(before.values("flags")[:1]),
    )
    return rows.order_by("round_id", "seat")


Stop = tuple[str, float, float]  # phase, from, to, in seconds since the round opened


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a lane; x and width are shares of the axis."""

    phase: str  # offered, down, train, up, or work where the client did not say
    x: float
    width: float
    grows: bool = False  # it reaches to now


@dataclass(slots=True)
class Lane:
    seat: Participation
    client: Client
    word: Word
    detail: str
    left: float | None  # estimated seconds until it has reported; None: not known
    silent: bool  # its seat is open, and it was not heard of for a while
    unheard: float | None  # seconds without a word at its work, where they are too many; not yet silent
    stops: list[Stop]
    pieces: list[Piece] = field(default_factory=list)
    blocking: bool = False
    eta: Piece | None = None  # still to come, before the deadline
    eta_late: Piece | None = None  # still to come, after it

    @property
    def is_open(self) -> bool:
        return self.seat.is_open

    @property
    def suspected(self) -> str:
        """What its client is suspected of, where this seat's own flags do not say it."""
        own = protection.suspected(self.seat.flags)
        return "" if own else protection.suspected(getattr(self.seat, "newest_flags", None))

    @property
    def is_quiet(self) -> bool:
        """Nothing is known of its work any more: it may have stopped."""
        return self.silent or self.unheard is not None

    @property
    def is_out(self) -> bool:
        """It does not count in this round any more."""
        return not self.is_open and not self.is_in

    @property
    def is_in(self) -> bool:
        return self.seat.status in COUNTED

    @property
    def end(self) -> float:
        return self.pieces[-1].x + self.pieces[-1].width if self.pieces else 0.0

    @property
    def label(self) -> str:
        parts = [self.word.text, self.detail, "" if self.is_measured or self.is_open else "its phases are not known"]
        return f"{self.client.name}: {', '.join(part for part in parts if part)}"

    @property
    def is_measured(self) -> bool:
        """Whether its client said how long each phase took."""
        return measured.of(self.seat) is not None


@dataclass(slots=True)
class Lanes:
    """The lanes of one round and their axis. Marks are (share of the axis, text)."""

    rows: list[Lane]
    scale: float  # seconds
    ticks: list[tuple[float, str]]
    now: float | None  # share of the axis; None: the round is closed
    now_text: str
    deadline: float | None  # None: beyond the axis
    deadline_text: str

    @property
    def shown(self) -> list[Lane]:
        """Those still at work come first where not all have room; their order stays."""
        if len(self.rows) <= MOST:
            return self.rows
        chosen = {lane.seat.pk for lane in sorted(self.rows, key=lambda lane: not lane.is_open)[:MOST]}
        return [lane for lane in self.rows if lane.seat.pk in chosen]

    @property
    def hidden(self) -> int:
        return max(0, len(self.rows) - MOST)

    @property
    def labels(self) -> list[tuple[float, str]]:
        """The ticks that are labelled: those that no mark's label covers."""
        begins, ends = ROOM[self.now_anchor]
        marks = [(self.now, begins, ends), (self.deadline, *((0.04, 0.28) if self.marks_meet else (0.16, 0.16)))]
        return [
            (x, text)
            for x, text in self.ticks
            if all(mark is None or not mark - before < x < mark + after for mark, before, after in marks)
        ]

    @property
    def now_anchor(self) -> str:
        if self.now is not None and self.now < 0.06:
            return "start"
        return "end" if self.marks_meet else "middle"

    @property
    def marks_meet(self) -> bool:
        """The labels of now and the deadline would overlap if both were centred."""
        return self.now is not None and self.deadline is not None and abs(self.now - self.deadline) < 0.2


def of(round_: Round, found: Sequence[Participation], *, now: datetime) -> Lanes:
    """Lay out a round's seats. `found` comes from `seats`."""
    stop = round_.closed_at or now
    rows = [_lane(seat, round_, stop, now) for seat in found]
    elapsed = (stop - round_.opened_at).total_seconds()
    deadline = (round_.deadline - round_.opened_at).total_seconds()
    furthest = max(1.3 * deadline, 1.1 * elapsed)  # what lies beyond need not be seen
    expected = [min(furthest, elapsed + lane.left) for lane in rows if lane.left is not None]
    ends = [lane.stops[-1][2] for lane in rows if lane.stops]
    least = 0.1 if round_.closed_at else 4.0  # an axis that grew with the first seconds would jump
    scale = _scale(1.12 * max([elapsed, *expected, *ends, least]))
    if deadline <= scale * 1.6:  # near enough to be worth its place
        scale = max(scale, deadline * 1.2)
    if round_.session.schedule not in schedules.JOINED:  # there nobody waits for another
        _block(rows)
    for lane in rows:
        _place(lane, scale, elapsed, deadline)
    return Lanes(
        rows=rows,
        scale=scale,
        ticks=_ticks(scale),
        now=elapsed / scale if round_.closed_at is None else None,
        now_text=formats.clock(elapsed),
        deadline=deadline / scale if deadline <= scale else None,
        deadline_text=formats.clock(deadline),
    )


def _lane(seat: Participation, round_: Round, stop: datetime, now: datetime) -> Lane:
    left = _left(seat, now) if seat.is_open else None
    silent = seat.is_open and not seat.client.is_online(now)
    since = None if silent else statuses.unheard(seat, now)
    return Lane(
        seat=seat,
        client=seat.client,
        word=statuses.of_seat(seat),
        detail=f"no word for {formats.minutes(since)}" if since else _detail(seat, round_, left, silent, now),
        left=None if silent or since else left,
        silent=silent,
        unheard=since,
        stops=phases(seat, round_, stop),
    )


def _left(seat: Participation, now: datetime) -> float | None:
    """Seconds until the present phase ends at its pace so far, once there is enough of it to tell.

    A client that stops in the middle does not come nearer: after a while without progress its pace falls.
    """
    if seat.phase not in (Phase.TRAINING, Phase.UPLOADING) or not 0.03 < seat.done < 1:
        return None
    if seat.phase_at is None or seat.progress_at is None:
        return None
    spent, since = (seat.progress_at - seat.phase_at).total_seconds(), (now - seat.progress_at).total_seconds()
    to_come = (1 - seat.done) / seat.done
    a_step = spent / (getattr(seat, "last_step", None) or 1)
    if since > min(statuses.STALLED, max(QUIET, 3 * a_step)):
        return (spent + since) * to_come
    return max(0.0, spent * to_come - since)


def phases(seat: Participation, round_: Round, stop: datetime) -> list[Stop]:
    """The phases that there were, each with its beginning and end. `work`: the client did not say what it did."""

    def at(moment: datetime) -> float:
        return max(0.0, (moment - round_.opened_at).total_seconds())

    invited = 0.0 if seat.invited_at is None else at(seat.invited_at)
    last = at(seat.reported_at or (stop if seat.is_open else seat.progress_at or seat.taken_at or stop))
    taken = last if seat.taken_at is None else at(seat.taken_at)
    spent = measured.of(seat)
    if spent is None:
        return _spans([("offered", invited, taken), ("work", taken, last)])
    trained = max(taken, at(spent.until))
    training = max(taken, trained - spent.training)
    downloading = max(taken, training - spent.downloading)
    before = downloading if downloading - taken >= LEAST_UNKNOWN else taken
    return _spans(
        [
            ("offered", invited, taken),
            ("work", taken, before),
            ("down", downloading, training),
            ("train", training, trained),
            ("up", trained, max(trained, last)),
        ]
    )


def _spans(stops: Iterable[Stop]) -> list[Stop]:
    return [(phase, begin, end) for phase, begin, end in stops if end > begin]


def _detail(seat: Participation, round_: Round, left: float | None, silent: bool, now: datetime) -> str:
    if silent:
        heard = seat.client.last_seen
        return f"silent for {formats.minutes((now - heard).total_seconds())}" if heard else "it left"
    if seat.status == SeatStatus.INVITED:
        return "not yet taken"
    if seat.status == SeatStatus.TRAINING:
        rest = f"about {formats.minutes(left)} left" if left is not None and left >= SOON else ""
        parts = [_how_far(seat), rest]
        return ", ".join(part for part in parts if part)
    if seat.status in COUNTED:
        after = (
            f"after {formats.duration(seat.reported_at - (seat.invited_at or round_.opened_at))}"
            if seat.reported_at
            else ""
        )
        told = results(seat.metrics, {"train_": ""})
        return after + (f", {told}" if told else "")
    if seat.status == SeatStatus.LATE:
        return statuses.of_late(seat, round_.session, superseded=getattr(seat, "is_superseded", False))
    return seat.reason.rstrip(".")


def _how_far(seat: Participation) -> str:
    if seat.phase == Phase.UPLOADING:
        if not seat.upload_length:
            return ""
        whole, unit = formats.size(seat.upload_length)
        return f"{float(whole) * min(1.0, seat.upload_offset / seat.upload_length):.1f} of {whole} {unit}"
    step = getattr(seat, "last_step", None)
    if seat.phase == Phase.TRAINING and step:
        total = round(step / seat.done) if seat.done > LEAST_DONE else 0
        return f"step {step}" + (f" of {total}" if total >= step else "")
    return ""


def _block(rows: Sequence[Lane]) -> None:
    """Mark whom the others wait for, once somebody has finished: who may have stopped, else the slowest at work."""
    still = [lane for lane in rows if lane.is_open]
    if not still or len(still) == len(rows):
        return
    quiet = [lane for lane in still if lane.is_quiet]
    if quiet or len(still) == 1:
        for lane in quiet or still:
            lane.blocking = True
    elif all(lane.left is not None for lane in still):
        max(still, key=lambda lane: lane.left or 0.0).blocking = True


def _place(lane: Lane, scale: float, elapsed: float, deadline: float) -> None:
    for phase, begin, end in lane.stops:
        grows = lane.is_open and end == lane.stops[-1][2]
        lane.pieces.append(Piece(phase, begin / scale, (end - begin) / scale, grows))
    if lane.left:
        early = min(lane.left, max(0.0, deadline - elapsed))
        if early > 0:
            lane.eta = Piece("eta", elapsed / scale, early / scale)
        if lane.left > early:
            begin = max(elapsed, deadline)
            width = min((lane.left - early) / scale, 1 - begin / scale)
            lane.eta_late = Piece("eta-late", begin / scale, width)


def _scale(seconds: float) -> float:
    """The axis grows in steps, so that it does not move with every second."""
    for scale in SCALES:
        if seconds <= scale:
            return float(scale)
    whole = 7200.0
    while whole < seconds:
        whole *= 1.5
    return whole


def _ticks(scale: float) -> list[tuple[float, str]]:
    longest = TICKS[-1] * -(-scale // (6 * TICKS[-1]))
    step = next((tick for tick in TICKS if scale / tick <= 6), longest)
    unit, divisor = ("s", 1) if scale <= 120 else ("min", 60) if scale <= 7200 else ("h", 3600)
    marks = []
    for n in range(int(scale // step) + 1):
        value = n * step / divisor
        text = f"{value:g}"
        marks.append((n * step / scale, f"{text} {unit}" if n == 0 else text))
    return marks
