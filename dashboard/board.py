"""The round now: what it waits for, who decides, and what can be done about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard import lanes
from dashboard.kit import formats, protection, statuses, times
from dashboard.kit.statuses import Word
from dashboard.lanes import Lane, Lanes
from federation.lifecycle import ENDED, LIVE, OPEN, LatePolicy, RoundFailure, RoundStatus, SeatStatus, SessionStatus
from federation.models import Participation, Phase, Round, TrainingSession
from federation.services import rounds, waiting

EXTENSIONS = (10, 30, 60, 120, 300, 600, 1800, 3600, 3 * 3600, 12 * 3600, 86_400)
MOST_SEATS = 16  # cells of the quorum meter; above it becomes a bar
LOOKS = {  # waiting.reason: icon, tone
    "worker_silent": ("warning", "bad"),
    "retrying": ("warning", "bad"),
    "disk_full": ("disk", "bad"),
    "aggregating": ("layers", "run"),
    "paused": ("pause", "idle"),
    "no_clients": ("away", "wait"),
    "too_few_clients": ("clients", "wait"),
    "clients_busy": ("clock", "wait"),
    "preparing_model": ("models", "run"),
    "collecting": ("offered", "run"),
    "left_out": ("away", "wait"),
}
STANDS = {  # how near a seat is to a report
    SeatStatus.REPORTED: 0,
    SeatStatus.AGGREGATED: 0,
    SeatStatus.TRAINING: 1,
    SeatStatus.INVITED: 5,
    SeatStatus.LATE: 6,
    SeatStatus.REJECTED: 7,
    SeatStatus.FAILED: 8,
    SeatStatus.DROPPED: 9,
}
PHASES = {Phase.UPLOADING: 0, Phase.EVALUATING: 1, Phase.TRAINING: 2, Phase.DOWNLOADING: 3}


@dataclass(frozen=True, slots=True)
class Why:
    """One line of why the round waits."""

    kind: str
    icon: str
    tone: str
    sentence: SafeString

    @property
    def toned(self) -> str:
        return f"tone-{self.tone}"


@dataclass(frozen=True, slots=True)
class Action:
    """A button that says beforehand what it will do, or why it cannot.

    asks: it opens a question that names what is lost, instead of acting at once.
    """

    to: str  # the name of its address
    icon: str
    label: str
    effect: SafeString | str
    off: bool = False
    advised: bool = False
    field: str = ""
    value: int = 0
    asks: bool = False
    danger: bool = False


@dataclass(slots=True)
class Board:
    """A session's open round, or its last one until the next opens."""

    session: TrainingSession
    round: Round | None
    lanes: Lanes | None
    why: list[Why]
    now: datetime

    @property
    def all_lanes(self) -> Sequence[Lane]:
        return self.lanes.rows if self.lanes else []

    @property
    def word(self) -> Word | None:
        return statuses.ROUND[RoundStatus(self.round.status)] if self.round else None

    @property
    def is_active(self) -> bool:
        return self.round is not None and self.round.closed_at is None

    @property
    def is_collecting(self) -> bool:
        return self.is_active and self.round is not None and self.round.status == RoundStatus.COLLECTING

    @property
    def has_ended(self) -> bool:
        return self.session.status in ENDED

    @property
    def is_draft(self) -> bool:
        return self.session.status == SessionStatus.DRAFT

    @property
    def next_number(self) -> int:
        if self.round is None:
            return 1
        return self.round.number + 1 if self.round.is_over else self.round.number

    @property
    def was_skipped(self) -> bool:
        """Whether the last round failed and the session goes on without it."""
        return self.round is not None and self.round.status == RoundStatus.FAILED and self.round.is_over

    @property
    def reported(self) -> int:
        return sum(lane.is_in for lane in self.all_lanes)

    @property
    def missing(self) -> int:
        return max(0, max(1, self.session.quorum) - self.reported)

    @property
    def nearest(self) -> list[Lane]:
        """Seats by nearness to a report, for the quorum meter."""

        def rank(lane: Lane) -> tuple[int, int]:
            phase = PHASES.get(Phase(lane.seat.phase), 4) if lane.seat.phase else 4
            return STANDS[SeatStatus(lane.seat.status)], phase if lane.is_open else 0

        return sorted(self.all_lanes, key=rank)

    @property
    def many(self) -> bool:
        return len(self.all_lanes) > MOST_SEATS

    @property
    def meter(self) -> dict[str, float]:
        """Shares of the bar that stands for the cells where there are too many of them."""
        asked = max(1, len(self.all_lanes))
        coming = sum(lane.is_open for lane in self.all_lanes)
        quorum = min(1.0, self.session.quorum / asked)
        return {"is_in": self.reported / asked, "coming": coming / asked, "quorum": quorum}

    @property
    def elapsed(self) -> timedelta:
        assert self.round is not None
        return (self.round.closed_at or self.now) - self.round.opened_at

    @property
    def seconds_left(self) -> float:
        assert self.round is not None
        return max(0.0, (self.round.deadline - self.now).total_seconds())

    @property
    def whole(self) -> timedelta:
        assert self.round is not None
        return self.round.deadline - self.round.opened_at

    @property
    def spent(self) -> float:
        """The share of its time that the round has used."""
        whole = self.whole.total_seconds()
        return min(1.0, max(0.0, self.elapsed.total_seconds() / whole)) if whole > 0 else 1.0

    @property
    def learnt(self) -> str:
        """Where a learnt deadline comes from."""
        known = self.session.learnt_deadline if self.session.auto_deadline else None
        return f"Learnt: {formats.learnt(known)}." if known else ""

    @property
    def near_seconds(self) -> int:
        """The end of its time, which is shown in red: the last fifth, at most a minute."""
        return round(min(60.0, self.whole.total_seconds() / 5))

    @property
    def actions(self) -> list[Action]:
        return [*(_actions(self) if self.is_active else []), *_session_actions(self)]


def of(session: TrainingSession, *, now: datetime) -> Board:
    """Everything about a session's round, in a number of queries that does not depend on its size."""
    active = session.active_round()
    round_ = active or session.last_round()
    if round_ is None:
        return Board(session, None, None, _others(session, now), now)
    round_.session = session
    return with_seats(session, round_, list(lanes.seats([round_])), now=now, others=_others(session, now))


def with_seats(
    session: TrainingSession,
    round_: Round,
    seats: Sequence[Participation],
    *,
    now: datetime,
    others: list[Why],
) -> Board:
    board = Board(session, round_, lanes.of(round_, seats, now=now), others, now)
    if board.is_collecting:
        board.why = [*others, *_collecting(board)]
    return board


def _others(session: TrainingSession, now: datetime) -> list[Why]:
    """The reasons that the domain gives, but for the open round's, which is told in more detail here."""
    return [
        Why(reason["reason"], *LOOKS[reason["reason"]], _lead(reason["detail"]))
        for reason in waiting.reasons(session, now=now)
        if reason["reason"] != "collecting"
    ]


def _lead(detail: str) -> SafeString:
    """The first sentence strong, the rest not."""
    first, dot, rest = detail.partition(". ")
    return format_html("<strong>{}{}</strong>{}", first, "." if dot else "", f" {rest}" if rest else "")


# ---- why a collecting round waits


def _collecting(board: Board) -> list[Why]:
    still = [lane for lane in board.all_lanes if lane.is_open]
    coming = sorted(still, key=_soonest)
    return [*_needed(board, coming), *_slowest(board, coming), *_silent(coming), *_stalled(coming), *_out(board)]


def _soonest(lane: Lane) -> tuple[int, float]:
    phase = PHASES.get(Phase(lane.seat.phase), 4) if lane.seat.phase else 4
    return phase, lane.left if lane.left is not None else float("inf")


def _needed(board: Board, coming: Sequence[Lane]) -> list[Why]:
    missing = board.missing
    if missing > len(coming):
        told = f"{_are(missing)} missing and {len(coming)} can still come. At the deadline {_if_it_fails(board)}."
        return [Why("lost", "warning", "bad", _strong("The quorum cannot be reached any more.", told))]
    if missing == 1:
        told = format_html("{} {}.", coming[0].client.name, doing(coming[0]))
        return [Why("needed", coming[0].word.icon, "run", _strong("One more update is needed.", told))]
    if missing:
        told = format_html("Next is {}: it {}.", coming[0].client.name, doing(coming[0]))
        return [Why("needed", coming[0].word.icon, "run", _strong(f"{missing} more updates are needed.", told))]
    if coming:
        names = formats.listed([lane.client.name for lane in coming])
        told = f"The round stays open for {names}, because more updates make a better model."
        return [Why("reached", "check-circle", "ok", _strong("The quorum is reached.", told))]
    return []


def _slowest(board: Board, coming: Sequence[Lane]) -> list[Why]:
    known = [lane for lane in coming if lane.left is not None]
    if not known:
        return []
    slow = max(known, key=lambda lane: lane.left or 0.0)
    needs = formats.minutes(slow.left or 0.0)
    if (slow.left or 0.0) > board.seconds_left:
        assert board.round is not None
        told = format_html("It needs about {}, and the deadline is in {}.", needs, times.left(board.round.deadline))
        return [Why("late", "late", "wait", _strong(f"{slow.client.name} would be late.", told))]
    if len(coming) > 1 and len(known) == len(coming) and (slow.left or 0.0) >= lanes.SOON:
        return [Why("last", "clock", "run", format_html("{} is the last: about {} left.", slow.client.name, needs))]
    return []


def _silent(coming: Sequence[Lane]) -> list[Why]:
    names = [lane.client.name for lane in coming if lane.silent]
    if not names:
        return []
    it = "It is" if len(names) == 1 else "They are"
    told = f"{formats.listed(names)} went silent. {it} waited for until the deadline."
    return [Why("silent", "away", "wait", format_html("{}", told))]


def _stalled(coming: Sequence[Lane]) -> list[Why]:
    """Who stopped telling of its work, long before it counts as away."""
    found = [lane for lane in coming if lane.unheard]
    if not found:
        return []
    names, since = formats.listed([lane.client.name for lane in found]), min(lane.unheard or 0.0 for lane in found)
    has, it = ("has", "It is") if len(found) == 1 else ("have", "They are")
    told = f"{has} sent no word for {formats.minutes(since)}. {it} waited for until the deadline."
    return [Why("stalled", "late", "wait", format_html("<strong>{}</strong> {}", names, told))]


def _out(board: Board) -> list[Why]:
    """Who does not count any more, and why; a few of them."""
    found = []
    for lane in board.all_lanes:
        seat, name = lane.seat, lane.client.name
        reason = seat.reason.rstrip(".")
        if told := protection.of_flags(seat.flags):
            found.append(Why("flagged", "warning", "wait", format_html("{}: {}", name, told)))
        if seat.status in OPEN and reason:
            found.append(Why("refused", "ban", "bad", format_html("{}: {}. It may send another.", name, reason)))
        elif seat.status == SeatStatus.FAILED:
            found.append(Why("failed", "x-circle", "bad", format_html("{} gave up: {}.", name, reason)))
        elif seat.status in (SeatStatus.DROPPED, SeatStatus.LATE):
            found.append(Why("out", lane.word.icon, "idle", format_html("{} is out: {}.", name, reason)))
    rest = len(found) - 4
    more = [Why("more", "more", "idle", format_html("{} more are out of this round.", rest))] if rest > 0 else []
    return found[:4] + more


def doing(lane: Lane) -> str:
    """What an open seat is at, after its client's name: 'is training: 50 % done'."""
    rest = f", about {formats.minutes(lane.left)} left" if lane.left is not None and lane.left >= lanes.SOON else ""
    if lane.silent:
        return f"is {lane.detail}"
    if lane.unheard:
        return f"has sent {lane.detail}"
    if lane.seat.status == SeatStatus.INVITED:
        return "has not taken the work yet"
    if lane.seat.phase == Phase.UPLOADING:
        return f"is sending it: {formats.share(lane.seat.done)}{rest}"
    if lane.seat.phase == Phase.TRAINING:
        done = f": {formats.share(lane.seat.done)} done" if lane.seat.done >= 0.01 else ""
        return f"is training{done}{rest}"
    if lane.seat.phase == Phase.EVALUATING:
        return "is evaluating"
    return "is fetching the model"


def _strong(lead: str, rest: SafeString | str) -> SafeString:
    return format_html("<strong>{}</strong> {}", lead, rest)


def _are(number: int) -> str:
    return "1 is" if number == 1 else f"{number} are"


def _if_it_fails(board: Board) -> str:
    assert board.round is not None
    return {
        RoundFailure.RETRY: "the round fails and opens again",
        RoundFailure.SKIP: "the round fails and is skipped",
        RoundFailure.STOP: "the round and the session fail",
    }[board.round.on_failure]


# ---- what can be done


def _actions(board: Board) -> list[Action]:
    if not board.is_collecting:
        shut = "The round is closed; its updates become a model."
        return [
            Action("round_extend", "clock-plus", "Extend", shut, off=True),
            Action("round_skip", "skip", "Skip a client", shut, off=True),
            Action("round_finish", "flag", "Finish now", shut, off=True),
        ]
    coming = sorted((lane for lane in board.all_lanes if lane.is_open), key=_soonest)
    slow = _slow(board, coming)
    return [_extend(board, slow), _skip(board, coming, slow), _finish(board, coming)]


def _slow(board: Board, coming: Sequence[Lane]) -> Lane | None:
    """Who holds the round up: one that may have stopped, else one that would be late, else the last to come."""
    quiet = sorted((lane for lane in coming if lane.is_quiet), key=lambda lane: lane.silent)
    late = [lane for lane in coming if (lane.left or 0.0) > board.seconds_left]
    chosen = quiet or late or list(coming)
    return chosen[-1] if chosen else None


def extension_seconds(round_seconds: int) -> int:
    """Half a round's time, rounded down to a length that one would say."""
    return max((choice for choice in EXTENSIONS if choice <= round_seconds / 2), default=EXTENSIONS[0])


def _extend(board: Board, slow: Lane | None) -> Action:
    assert board.round is not None
    seconds = extension_seconds(board.session.round_seconds)
    moved = format_html("The deadline moves to {}", times.clock(board.round.deadline + timedelta(seconds=seconds)))
    left = slow.left if slow else None
    late = left is not None and left > board.seconds_left
    spare = board.seconds_left + seconds - (left or 0.0)
    if late and slow and spare > 0:
        spared = formats.minutes(spare)
        moved = format_html("{}; {} would make it with {} to spare.", moved, slow.client.name, spared)
    elif late and slow:
        moved = format_html("{}; still too short for {}.", moved, slow.client.name)
    else:
        moved = format_html("{}.", moved)
    label = f"Extend by {formats.span(seconds)}"
    advised = late and spare > 0
    return Action("round_extend", "clock-plus", label, moved, advised=advised, field="seconds", value=seconds)


def _skip(board: Board, coming: Sequence[Lane], slow: Lane | None) -> Action:
    if slow is None:
        return Action("round_skip", "skip", "Skip a client", "Nobody is at work any more.", off=True)
    name = slow.client.name
    if len(coming) - 1 < board.missing:
        why = f"Not now: the quorum of {board.session.quorum} could not be reached without it."
        return Action("round_skip", "skip", f"Skip {name}", why, off=True)
    others_come = len(coming) == 1 or not all(lane.is_quiet for lane in coming)
    told, advised = skip_effect(board, slow), slow.is_quiet and others_come
    label = f"Skip {name} …"
    return Action(
        "round_skip", "skip", label, told, advised=advised, field="participation", value=slow.seat.pk, asks=True
    )


def late_effect(session: TrainingSession) -> str:
    """What becomes of an update that comes after its round has closed."""
    counts = ", and counts in the next round" if session.late_policy == LatePolicy.NEXT_ROUND else ""
    return f"is kept, labelled late{counts}"


def skip_effect(board: Board, lane: Lane) -> str:
    """What follows when this seat is skipped."""
    others = [other.client.name for other in board.all_lanes if other.is_open and other is not lane]
    name = lane.client.name
    if len(others) < board.missing:
        return f"The quorum of {board.session.quorum} can then not be reached: {_if_it_fails(board)}."
    kept = f"What {name} sends later {late_effect(board.session)}."
    if others:
        have = "has" if len(others) == 1 else "have"
        return f"The round closes as soon as {formats.listed(others)} {have} reported. {kept}"
    return f"The round closes at once with {formats.count(board.reported, 'update')}. {kept}"


def _finish(board: Board, coming: Sequence[Lane]) -> Action:
    if board.missing:
        why = rounds.not_yet(board.session, board.missing)
        return Action("round_finish", "flag", "Finish now", why, off=True)
    names = formats.listed([lane.client.name for lane in coming])
    late = f" {names} {'comes' if len(coming) == 1 else 'come'} too late and will be labelled so." if coming else ""
    told = f"Aggregates {formats.count(board.reported, 'update')}.{late}"
    gone = len(coming) > 1 and all(lane.is_quiet for lane in coming)  # of a single one skipping does the same
    return Action("round_finish", "flag", "Finish now …", told, advised=gone, asks=True)


def _session_actions(board: Board) -> list[Action]:
    """What one can do with the session as a whole while it goes on."""
    if board.session.status not in LIVE:
        return []
    number = board.round.number if board.is_active and board.round else None
    if board.session.status == SessionStatus.PAUSED:
        stop = Action("session_resume", "play", "Resume", "Rounds open again, from the last model.")
    else:
        rest = f"Round {number} goes on; no new one opens" if number else "No round opens"
        stop = Action("session_pause", "pause", "Pause", f"{rest} until you resume. Nothing is lost.")
    lost = f"what round {number} has so far is lost" if number else "nothing is lost by it"
    told = f"Stops for good: {lost}. Models and curves are kept."
    return [stop, Action("session_cancel", "stop", "Cancel the session …", told, asks=True, danger=True)]
