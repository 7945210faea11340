"""What sites measured of a session's model: of a training its last one, and of an evaluation session its only one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dashboard.kit import counts, evaluations, statuses
from dashboard.kit.counts import Choice
from dashboard.kit.statuses import Word
from dashboard.pages.session import own_models, round_now
from dashboard.pages.session.why import why_it_waits
from federation.lifecycle import SessionStatus
from federation.models import Client, TrainingSession


def of(session: TrainingSession, chosen: Choice) -> dict[str, Any]:
    """The newest evaluation of the session's model; None where there is none. chosen: which counts are drawn."""
    newest = next(iter(evaluations.of_session(session)), None)
    beside = own_models.of(session, newest)
    return {"session": session, "evaluation": newest, "picture": counts.of(newest, chosen), "own_models": beside}


def whole(session: TrainingSession, chosen: Choice, *, now: datetime) -> dict[str, Any]:
    """Everything of a session that only measures a model."""
    at, shown = round_now.of(session, now=now), of(session, chosen)
    return shown | {
        "word": _word(session, at),
        "model": session.models.select_related("parent__session").order_by("version").last(),
        "round_now": at,
        "reasons": why_it_waits(at),
        "asked": list(Client.objects.filter(pk__in=session.client_ids).order_by("name")),
    }


def _word(session: TrainingSession, at: round_now.RoundNow) -> Word:
    """A session that runs waits for sites while no round is open."""
    if session.status == SessionStatus.RUNNING and not at.is_active:
        return statuses.WAITING
    return statuses.SESSION[SessionStatus(session.status)]
