"""One vocabulary of states for the whole product: a word, its tone and its icon, always the three together."""

from dataclasses import dataclass, replace
from datetime import datetime

from federation import earlier_reasons, schedules
from federation.lifecycle import OPEN, LatePolicy, RoundStatus, SeatReason, SeatStatus, SessionStatus
from federation.models import Client, Participation, Phase, TrainingSession


@dataclass(frozen=True, slots=True)
class Word:
    text: str
    tone: str  # run, ok, wait, bad or idle
    icon: str


SESSION = {
    SessionStatus.DRAFT: Word("Draft", "idle", "draft"),
    SessionStatus.RUNNING: Word("Running", "run", "training"),
    SessionStatus.PAUSED: Word("Paused", "idle", "pause"),
    SessionStatus.COMPLETED: Word("Completed", "ok", "check-circle"),
    SessionStatus.FAILED: Word("Failed", "bad", "x-circle"),
    SessionStatus.CANCELLED: Word("Cancelled", "idle", "stop"),
}
ROUND = {
    RoundStatus.COLLECTING: Word("Collecting", "run", "offered"),
    RoundStatus.AGGREGATING: Word("Aggregating", "run", "layers"),
    RoundStatus.COMPLETED: Word("Completed", "ok", "check-circle"),
    RoundStatus.FAILED: Word("Failed", "bad", "x-circle"),
    RoundStatus.CANCELLED: Word("Cancelled", "idle", "stop"),
}
SEAT = {
    SeatStatus.INVITED: Word("Offered", "idle", "offered"),
    SeatStatus.TRAINING: Word("Training", "run", "training"),
    SeatStatus.REPORTED: Word("Reported", "ok", "check"),
    SeatStatus.AGGREGATED: Word("Aggregated", "ok", "check-circle"),
    SeatStatus.LATE: Word("Late", "wait", "late"),
    SeatStatus.FAILED: Word("Failed", "bad", "x-circle"),
    SeatStatus.REJECTED: Word("Rejected", "bad", "ban"),
    SeatStatus.DROPPED: Word("Dropped", "idle", "unlink"),
}
SKIPPED = Word("Skipped", "idle", "skip")
PHASE = {
    Phase.DOWNLOADING: Word("Downloading", "run", "download"),
    Phase.TRAINING: Word("Training", "run", "training"),
    Phase.EVALUATING: Word("Evaluating", "run", "training"),
    Phase.UPLOADING: Word("Uploading", "run", "upload"),
}
WAITING = Word("Waiting", "wait", "clock")
ONLINE = Word("Online", "ok", "dot")
BUSY = Word("Busy", "run", "training")
AWAY = Word("Away", "wait", "away")
DISABLED = Word("Disabled", "idle", "minus-circle")
REMOVED = Word("Removed", "idle", "ban")
STALLED = 15.0  # seconds without a word at work; an agent that lives says so every 10


def of_seat(seat: Participation) -> Word:
    """Where a seat stands; a transfer says how far it is."""
    if seat.status == SeatStatus.DROPPED and earlier_reasons.of_seat(seat) == SeatReason.SKIPPED:
        return SKIPPED
    if seat.status != SeatStatus.TRAINING or not seat.phase:
        return SEAT[SeatStatus(seat.status)]
    word = PHASE[Phase(seat.phase)]
    if seat.phase in (Phase.DOWNLOADING, Phase.UPLOADING) and 0 < seat.done < 1:
        return replace(word, text=f"{word.text} {seat.done:.0%}".replace("%", "\u202f%"))
    return word


def unheard(seat: Participation, now: datetime) -> float | None:
    """Seconds without a word of an open seat's work, where they are too many."""
    if seat.status != SeatStatus.TRAINING or seat.progress_at is None:
        return None
    since = (now - seat.progress_at).total_seconds()
    return since if since > STALLED else None


def of_late(seat: Participation, session: TrainingSession, *, superseded: bool = False) -> str:
    """What became of a late update. superseded: another one of its client for the same round counts."""
    if seat.counted_in is not None:
        return f"late; counted in round {seat.counted_in.number}"
    if seat.withdrawn:
        return f"late; not counted: {seat.reason[:1].lower()}{seat.reason[1:].rstrip('.')}"
    if superseded:
        return "late; not counted: another update of the same round is"
    went_on = seat.went_on and session.schedule in schedules.JOINED
    waits = (went_on or session.late_policy == LatePolicy.NEXT_ROUND) and not session.has_ended
    return "late; counts in the next round" if waits else "too late; kept, not counted"


def of_client(client: Client, seat: Participation | None, *, online: bool) -> Word:
    """A client's state, given the seat it holds in an active round, if any."""
    if client.removed_at is not None:
        return REMOVED
    if not client.enabled:
        return DISABLED
    if not online:
        return AWAY
    return BUSY if seat is not None and seat.status in OPEN else ONLINE
