"""What operators can do now, each with its effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.kit import formats, times
from dashboard.pages.session.lanes import Lane
from dashboard.pages.session.round_now import RoundNow
from federation import schedules
from federation.lifecycle import LIVE, LatePolicy, SessionStatus
from federation.models import TrainingSession
from federation.services import rounds

EXTENSIONS = (10, 30, 60, 120, 300, 600, 1800, 3600, 3 * 3600, 12 * 3600, 86_400)


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


def of(at: RoundNow) -> list[Action]:
    """What one can do about the round, then about the session."""
    return [*(_round_actions(at) if at.is_active else []), *_session_actions(at)]


def _round_actions(at: RoundNow) -> list[Action]:
    if not at.is_collecting:
        shut = "The round is closed; its updates become a model."
        return [
            Action("round_extend", "clock-plus", "Extend", shut, off=True),
            Action("round_skip", "skip", "Skip a client", shut, off=True),
            Action("round_finish", "flag", "Finish now", shut, off=True),
        ]
    coming = at.coming
    slow = _slow(at, coming)
    return [_extend(at, slow), _skip(at, coming, slow), _finish(at, coming)]


def _slow(at: RoundNow, coming: Sequence[Lane]) -> Lane | None:
    """Who holds the round up: one that may have stopped, else one that would be late, else the last to come."""
    quiet = sorted((lane for lane in coming if lane.is_quiet), key=lambda lane: lane.silent)
    late = [lane for lane in coming if (lane.left or 0.0) > at.seconds_left]
    chosen = quiet or late or list(coming)
    return chosen[-1] if chosen else None


def extension_seconds(round_seconds: int) -> int:
    """Half a round's time, rounded down to a length that one would say."""
    return max((choice for choice in EXTENSIONS if choice <= round_seconds / 2), default=EXTENSIONS[0])


def _extend(at: RoundNow, slow: Lane | None) -> Action:
    assert at.round is not None
    seconds = extension_seconds(at.session.round_seconds)
    moved = format_html("The deadline moves to {}", times.clock(at.round.deadline + timedelta(seconds=seconds)))
    left = slow.left if slow else None
    late = left is not None and left > at.seconds_left
    spare = at.seconds_left + seconds - (left or 0.0)
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


def _skip(at: RoundNow, coming: Sequence[Lane], slow: Lane | None) -> Action:
    if slow is None:
        return Action("round_skip", "skip", "Skip a client", "Nobody is at work any more.", off=True)
    name = slow.client.name
    if not at.is_joined and len(coming) - 1 < at.missing:
        why = f"Not now: the quorum of {at.session.quorum} could not be reached without it."
        return Action("round_skip", "skip", f"Skip {name}", why, off=True)
    others_come = len(coming) == 1 or not all(lane.is_quiet for lane in coming)
    told, advised = skip_effect(at, slow), slow.is_quiet and others_come
    label = f"Skip {name} …"
    return Action(
        "round_skip", "skip", label, told, advised=advised, field="participation", value=slow.seat.pk, asks=True
    )


def late_effect(session: TrainingSession) -> str:
    """What becomes of an update that comes after its round has closed."""
    counts = ", and counts in the next round" if session.late_policy == LatePolicy.NEXT_ROUND else ""
    return f"is kept, labelled late{counts}"


def skip_effect(at: RoundNow, lane: Lane) -> str:
    """What follows when this seat is skipped."""
    others = [other.client.name for other in at.all_lanes if other.is_open and other is not lane]
    name = lane.client.name
    if at.is_joined:
        return f"It is asked again after {formats.span(at.session.round_seconds)}. {kept_of(at, name)}"
    if len(others) < at.missing:
        return f"The quorum of {at.session.quorum} can then not be reached: {at.if_it_fails}."
    kept = kept_of(at, name)
    if at.session.schedule not in schedules.PATIENT:
        return f"The round goes on without {name}. {kept}"
    if others:
        have = "has" if len(others) == 1 else "have"
        return f"The round closes as soon as {formats.listed(others)} {have} reported. {kept}"
    return f"The round closes at once with {formats.count(at.reported, 'update')}. {kept}"


def kept_of(at: RoundNow, name: str) -> str:
    return f"What {name} sends later {late_effect(at.session)}."


def _finish(at: RoundNow, coming: Sequence[Lane]) -> Action:
    if at.missing:
        why = rounds.not_yet(at.session, at.missing)
        return Action("round_finish", "flag", "Finish now", why, off=True)
    names = formats.listed([lane.client.name for lane in coming])
    late = f" {names} {'comes' if len(coming) == 1 else 'come'} too late and will be labelled so." if coming else ""
    if coming and schedules.of(at.session).goes_on():
        late = f" {names} may go on: what comes later counts in a later round."
    told = f"Aggregates {formats.count(at.reported, 'update')}.{late}"
    gone = len(coming) > 1 and all(lane.is_quiet for lane in coming)  # of a single one skipping does the same
    return Action("round_finish", "flag", "Finish now …", told, advised=gone, asks=True)


def _session_actions(at: RoundNow) -> list[Action]:
    """What one can do with the session as a whole while it goes on."""
    if at.session.status not in LIVE:
        return []
    number = at.round.number if at.is_active and at.round else None
    if at.session.status == SessionStatus.PAUSED:
        stop = Action("session_resume", "play", "Resume", "Rounds open again, from the last model.")
    else:
        rest = f"Round {number} goes on; no new one opens" if number else "No round opens"
        stop = Action("session_pause", "pause", "Pause", f"{rest} until you resume. Nothing is lost.")
    lost = f"what round {number} has so far is lost" if number else "nothing is lost by it"
    told = f"Stops for good: {lost}. Models and curves are kept."
    return [stop, Action("session_cancel", "stop", "Cancel the session …", told, asks=True, danger=True)]
