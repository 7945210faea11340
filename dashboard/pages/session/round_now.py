"""The round now: its seats, how near its quorum is, and its time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from dashboard.kit import formats, statuses
from dashboard.kit.statuses import Word
from dashboard.pages.session import lanes, versions
from dashboard.pages.session.lanes import Lane, Lanes
from dashboard.pages.session.versions import Versions
from federation import schedules
from federation.lifecycle import ENDED, Outcome, RoundFailure, RoundStatus, SeatStatus, SessionStatus, WorkKind
from federation.models import Participation, Phase, Round, TrainingSession

MOST_SEATS = 16  # cells of the quorum meter; above it becomes a bar
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


@dataclass(slots=True)
class RoundNow:
    """A session's open round, or its last one until the next opens."""

    session: TrainingSession
    round: Round | None
    lanes: Lanes | None
    now: datetime
    versions: Versions | None = None  # where seats may go on when their round closes
    late: int = 0  # updates for earlier rounds that count toward the quorum
    beside: Round | None = None  # an open one of other work: version 0 comes from a site, or the last model is measured

    @property
    def measuring(self) -> Round | None:
        """Of a training: the open evaluation of its last model."""
        return self.beside if self.beside is not None and self.beside.kind == WorkKind.EVALUATE else None

    @property
    def is_of_other_work(self) -> bool:
        """Whether clients do something else than to train."""
        return self.beside is not None or self.session.kind != WorkKind.TRAIN

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
        return self.round is not None and self.round.outcome == Outcome.SKIPPED

    @property
    def reported(self) -> int:
        return sum(lane.is_in for lane in self.all_lanes) + self.late

    @property
    def is_joined(self) -> bool:
        """Whether clients join the open round, so that versions take the place of rounds."""
        return self.session.schedule in schedules.JOINED

    @property
    def missing(self) -> int:
        """How many updates are missing before it can be closed."""
        return max(0, schedules.of(self.session).least - self.reported)

    @property
    def nearest(self) -> list[Lane]:
        """Seats by nearness to a report, for the quorum meter."""

        def rank(lane: Lane) -> tuple[int, int]:
            return STANDS[SeatStatus(lane.seat.status)], _phase(lane) if lane.is_open else 0

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
    def coming(self) -> list[Lane]:
        """Open seats, the one that reports soonest first."""
        return sorted((lane for lane in self.all_lanes if lane.is_open), key=_soonest)

    @property
    def if_it_fails(self) -> str:
        assert self.round is not None
        if self.is_joined:
            return "one update is enough, and with none the round stays open"
        return {
            RoundFailure.RETRY: "the round fails and opens again",
            RoundFailure.SKIP: "the round fails and is skipped",
            RoundFailure.STOP: "the round and the session fail",
        }[self.round.on_failure]


def _soonest(lane: Lane) -> tuple[int, float]:
    return _phase(lane), lane.left if lane.left is not None else float("inf")


def _phase(lane: Lane) -> int:
    return PHASES.get(Phase(lane.seat.phase), 4) if lane.seat.phase else 4


def of(session: TrainingSession, *, now: datetime) -> RoundNow:
    """Everything about a session's round, in a number of queries that does not depend on its size."""
    active = session.active_round(of_any_kind=True)
    beside = active if active is not None and active.kind != session.kind else None
    round_ = session.last_round() if beside or active is None else active
    if round_ is None:
        return RoundNow(session, None, None, now, beside=beside)
    round_.session = session
    found = with_seats(session, round_, list(lanes.seats([round_])), now=now)
    found.versions = versions.of(session, round_)
    found.late = round_.late_seats.count() if found.is_joined else 0
    found.beside = beside
    return found


def with_seats(session: TrainingSession, round_: Round, seats: Sequence[Participation], *, now: datetime) -> RoundNow:
    """The same for a round whose seats are known. `seats` comes from `lanes.seats`."""
    return RoundNow(session, round_, lanes.of(round_, seats, now=now), now)
