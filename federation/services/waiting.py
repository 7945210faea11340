"""Why nothing moves, in plain words."""

from __future__ import annotations

from datetime import datetime
from typing import TypedDict

from federation import storage
from federation.lifecycle import LIVE, OPEN, RoundStatus, SessionStatus
from federation.models import Round, Server, TrainingSession
from federation.services import rounds


class Reason(TypedDict):
    reason: str
    detail: str


def reasons(session: TrainingSession, *, now: datetime) -> list[Reason]:
    """What a live session waits for, the most pressing first. Empty for one that is not live."""
    if session.status not in LIVE:
        return []
    found = _troubles(now)
    round_ = session.active_round()
    if round_ is not None:
        found.append(_of_round(round_, now))
    if session.status == SessionStatus.PAUSED:
        rest = "the open round goes on, no new one opens" if round_ else "no round opens until it is resumed"
        found.append(Reason(reason="paused", detail=f"The session is paused: {rest}."))
    elif round_ is None:
        found.append(_of_opening(session, now))
    return found


def _troubles(now: datetime) -> list[Reason]:
    found = []
    server = Server.objects.filter(pk=1).first()
    if server is None or not server.is_ticking(now):
        detail = "No worker is at work, so rounds neither open nor close. Start the worker and the beat."
        found.append(Reason(reason="worker_silent", detail=detail))
    if storage.is_full():
        found.append(Reason(reason="disk_full", detail="The server's disk is full. Make room; it goes on by itself."))
    return found


def _of_round(round_: Round, now: datetime) -> Reason:
    tally, needed = round_.tally(), round_.session.quorum
    reported = tally["reported"]
    if round_.status == RoundStatus.AGGREGATING:
        return Reason(reason="aggregating", detail=f"{_updates(reported)} the model of round {round_.number}.")
    missing = max(0, needed - reported)
    names = sorted(round_.seats.filter(status__in=OPEN).values_list("client__name", flat=True))
    left = max(0, round((round_.deadline - now).total_seconds()))
    if missing:
        state = f"{reported} of {needed} needed updates are in"
    else:
        state = f"The quorum of {needed} is reached; more updates make a better model"
    return Reason(reason="collecting", detail=f"{state}. Open: {_listed(names)}. The deadline is in {span(left)}.")


def _of_opening(session: TrainingSession, now: datetime) -> Reason:
    if not session.models.exists():
        return Reason(reason="preparing_model", detail="The initial model is being made.")
    pool, quorum = rounds.pool(now).of(session), session.quorum
    tagged = f" with the tag {' or '.join(session.client_tags)}" if session.client_tags else ""
    wanted = rounds.wanted(session, pool.online)
    if not pool.online:
        soon = f"The round opens by itself as soon as {_clients(quorum)} there."
        return Reason(reason="no_clients", detail=f"Nobody{tagged} is online. {soon}")
    if wanted < quorum:
        detail = f"{_clients(quorum)} needed and {_are(pool.online)} online{tagged}. The round opens by itself."
        return Reason(reason="too_few_clients", detail=detail)
    free = f"{_clients(wanted)} asked and {_are(len(pool.free))} free"
    return Reason(reason="clients_busy", detail=f"{free}; the others are in another session's round.")


def span(seconds: int) -> str:
    """A duration as one would say it: '3 min 12 s'."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes and rest else f"{minutes} min" if minutes else f"{rest} s"


def _listed(names: list[str]) -> str:
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return ", ".join(names) or "nobody"


def _updates(number: int) -> str:
    return "1 update becomes" if number == 1 else f"{number} updates become"


def _clients(number: int) -> str:
    return "1 client is" if number == 1 else f"{number} clients are"


def _are(number: int) -> str:
    return "1 is" if number == 1 else f"{number} are"
