"""Why the round waits: what the session lacks, and who is late, silent or out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.kit import formats, protection, times
from dashboard.pages.session import lanes
from dashboard.pages.session.lanes import Lane
from dashboard.pages.session.round_now import RoundNow
from federation import phrases
from federation.lifecycle import OPEN, SeatStatus
from federation.models import Phase, TrainingSession
from federation.services import waiting

COLLECTING = "collecting"
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
    COLLECTING: ("offered", "run"),
    "left_out": ("away", "wait"),
    "unmeasured": ("warning", "wait"),
}


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


def why_it_waits(at: RoundNow) -> list[Why]:
    """Everything that a session and its round wait for."""
    if at.is_of_other_work:
        return _told(at.session, at.now)
    others = [why for why in _told(at.session, at.now) if why.kind != COLLECTING]
    return [*others, *(why_it_collects(at) if at.is_collecting else [])]


def _told(session: TrainingSession, now: datetime) -> list[Why]:
    """The reasons that the domain gives. That of an open round of training is told in more detail here."""
    return [
        Why(reason["reason"], *LOOKS[reason["reason"]], _lead(reason["lead"], reason["rest"]))
        for reason in waiting.reasons(session, now=now)
    ]


def _lead(lead: str, rest: str) -> SafeString:
    return format_html("<strong>{}</strong>{}", lead, f" {rest}" if rest else "")


def why_it_collects(at: RoundNow) -> list[Why]:
    """Why a collecting round is not closed yet."""
    coming = at.coming
    if at.is_joined:
        return [*_buffered(at), *_earlier(at), *_out(at)]
    found = [*_needed(at, coming), *_slowest(at, coming), *_silent(coming), *_stalled(coming)]
    return [*found, *_earlier(at), *_out(at)]


def _buffered(at: RoundNow) -> list[Why]:
    """What a buffer still needs: it waits for nobody in particular."""
    missing = max(0, at.session.quorum - at.reported)
    if not missing:
        return [Why("reached", "check-circle", "ok", _strong("The quorum is reached.", ""))]
    assert at.round is not None
    lead = "One more update makes" if missing == 1 else f"{missing} more updates make"
    return [Why("needed", "layers", "run", _strong(f"{lead} version {at.round.number}.", "Nobody waits for another."))]


def _earlier(at: RoundNow) -> list[Why]:
    told = at.versions.sentence if at.versions else ""
    return [Why("earlier", "clock", "run", format_html("{}", told))] if told else []


def _needed(at: RoundNow, coming: Sequence[Lane]) -> list[Why]:
    missing = at.missing
    if missing > len(coming):
        told = f"{phrases.are(missing)} missing and {len(coming)} can still come. At the deadline {at.if_it_fails}."
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


def _slowest(at: RoundNow, coming: Sequence[Lane]) -> list[Why]:
    known = [lane for lane in coming if lane.left is not None]
    if not known:
        return []
    slow = max(known, key=lambda lane: lane.left or 0.0)
    needs = formats.minutes(slow.left or 0.0)
    if (slow.left or 0.0) > at.seconds_left:
        assert at.round is not None
        told = format_html("It needs about {}, and the deadline is in {}.", needs, times.left(at.round.deadline))
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


def _out(at: RoundNow) -> list[Why]:
    """Who does not count any more, and why; a few of them."""
    found = []
    for lane in at.all_lanes:
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
