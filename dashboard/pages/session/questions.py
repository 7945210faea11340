"""The question before an act: what is lost by it and what is kept."""

from __future__ import annotations

from django.urls import reverse
from django.utils import timezone

from dashboard.kit import formats
from dashboard.pages.session import actions, round_now, why
from federation.errors import Conflict
from federation.lifecycle import OPEN, SessionStatus
from federation.models import TrainingSession
from federation.services import rounds


def cancelling(session: TrainingSession) -> dict[str, object]:
    at, lost = round_now.of(session, now=timezone.now()), []
    if at.is_active and at.round is not None:
        if at.reported:
            have = "has" if at.reported == 1 else "have"
            lost.append(f"{formats.count(at.reported, 'update')} of round {at.round.number} that {have} arrived")
        names = [lane.client.name for lane in at.all_lanes if lane.is_open]
        if names:
            lost.append(f"what {formats.listed(names)} did in round {at.round.number} so far")
    last = session.last_model()
    kept = f"models v0 to v{last.version}, " if last and last.version else "the initial model, " if last else ""
    again = f" A new session can start from v{last.version}." if last else ""
    return {
        "title": f"Cancel {session.name}?",
        "lead": "It stops at once, and this is lost:" if lost else "It stops at once. Nothing is lost by it.",
        "lost": lost,
        "kept": f"Kept: {kept}every curve and the event log. A cancelled session cannot be resumed.{again}",
        "stay": "Keep it running" if session.status == SessionStatus.RUNNING else "Keep it",
        "act": "Cancel the session",
        "action": reverse("session_cancel", args=[session.pk]),
    }


def deleting(session: TrainingSession) -> dict[str, object]:
    counts = {
        "model": session.models.count(),
        "round": session.own_rounds.count(),
        "point": session.metric_points.count(),
    }
    numbers = [formats.count(number, noun) for noun, number in counts.items() if number]
    lost = [f"{formats.listed(numbers)}, with the files that no other session uses"] if numbers else []
    lost.append("the event log and the settings")
    return {
        "title": f"Delete {session.name}?",
        "lead": "This is lost for good:",
        "lost": lost,
        "kept": "Kept: the clients, and sessions that went on from its models.",
        "stay": "Keep it",
        "act": "Delete the session",
        "action": reverse("session_delete", args=[session.pk]),
    }


def finishing(session: TrainingSession) -> dict[str, object]:
    at = round_now.of(session, now=timezone.now())
    if not at.is_collecting or at.round is None:
        raise Conflict("No round is open any more, so there is nothing to finish.")
    if at.missing:
        raise Conflict(rounds.not_yet(session, at.missing))
    coming = [lane for lane in at.all_lanes if lane.is_open]
    becomes = "becomes" if at.reported == 1 else "become"
    lead = f"{formats.count(at.reported, 'update')} {becomes} the next model."
    return {
        "title": f"Finish round {at.round.number} now?",
        "lead": f"{lead} What these do now does not count in it:" if coming else f"{lead} Nothing is lost by it.",
        "lost": [f"{lane.client.name} {why.doing(lane)}" for lane in coming],
        "kept": f"What they send later {actions.late_effect(session)}." if coming else "",
        "stay": "Keep waiting",
        "act": "Finish the round",
        "action": reverse("round_finish", args=[session.pk]),
    }


def skipping(session: TrainingSession, seat_id: int) -> dict[str, object]:
    at = round_now.of(session, now=timezone.now())
    lane = next((lane for lane in at.all_lanes if lane.seat.pk == seat_id and lane.seat.status in OPEN), None)
    if lane is None or not at.is_collecting:
        raise Conflict("This seat is not open any more, so there is nothing to skip.")
    return {
        "title": f"Skip {lane.client.name} in this round?",
        "lead": actions.skip_effect(at, lane),
        "lost": [],
        "kept": f"{lane.client.name} is asked again in the next round.",
        "stay": "Wait for it",
        "act": "Skip it",
        "action": reverse("round_skip", args=[session.pk]),
        "fields": {"participation": seat_id},
    }
