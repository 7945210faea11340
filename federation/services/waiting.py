"""Why nothing moves, in plain words."""

from __future__ import annotations

import math
from datetime import datetime
from typing import TypedDict

from federation import phrases, storage
from federation.lifecycle import LIVE, OPEN, FileStatus, RoundStatus, SessionStatus
from federation.models import Event, Participation, Round, Server, TrainingSession
from federation.services import rounds, steps

MOST_SILENT = 3  # clients that are named with what they did last


class Reason(TypedDict):
    reason: str
    detail: str


def reasons(session: TrainingSession, *, now: datetime) -> list[Reason]:
    """What a live session waits for, the most pressing first. Empty for one that is not live or opens a round now."""
    if session.status not in LIVE:
        return []
    found = _troubles(now)
    round_ = session.active_round()
    found += [Reason(reason="retrying", detail=sentence) for sentence in steps.failing(session, round_)]
    base = round_.base_model if round_ else session.last_model()
    if base is not None and base.file_status == FileStatus.DAMAGED:
        detail = f"The file of model {base} is damaged and is being made again. Clients cannot fetch it meanwhile."
        found.append(Reason(reason="preparing_model", detail=detail))
    if round_ is not None:
        found.append(_of_round(session, round_, now))
    if session.status == SessionStatus.PAUSED:
        found.append(_of_pause(session, round_))
    elif base is None:
        found.append(Reason(reason="preparing_model", detail="The initial model is being made."))
    elif round_ is None:
        found += _of_opening(session, now)
    return found


def _troubles(now: datetime) -> list[Reason]:
    found = []
    server = Server.objects.filter(pk=1).first()
    if server is None or not server.is_ticking(now):
        detail = "No worker is at work, so rounds neither open nor close. Start the worker and the beat."
        found.append(Reason(reason="worker_silent", detail=detail))
    if (server is not None and server.storage_low_since is not None) or storage.is_full():
        found.append(Reason(reason="disk_full", detail="The server's disk is full. Make room; it goes on by itself."))
    return found


def _of_pause(session: TrainingSession, round_: Round | None) -> Reason:
    last = session.events.filter(kind=Event.Kind.SESSION_PAUSED).order_by("-seq").first()
    by = last.payload.get("by") if last else ""
    who = f"was paused by {by}" if by else "is paused"
    rest = "the open round goes on, no new one opens" if round_ else "no round opens until it is resumed"
    return Reason(reason="paused", detail=f"The session {who}: {rest}.")


def _of_round(session: TrainingSession, round_: Round, now: datetime) -> Reason:
    reported, needed = round_.tally()["reported"], session.quorum
    if round_.status == RoundStatus.AGGREGATING:
        all_ = reported + round_.late_seats.count()
        return Reason(reason="aggregating", detail=f"{_updates(all_)} the model of round {round_.number}.")
    still = sorted(round_.seats.filter(status__in=OPEN).select_related("client"), key=lambda seat: seat.client.name)
    left = max(0, round((round_.deadline - now).total_seconds()))
    if reported < needed:
        state = f"{reported} of {needed} needed updates {'is' if reported == 1 else 'are'} in"
    else:
        state = f"The quorum of {needed} is reached; more updates make a better model"
    names = phrases.listed([seat.client.name for seat in still])
    silent = [_silence(seat, now) for seat in still if not seat.client.is_online(now)][:MOST_SILENT]
    sentences = [f"{state}. Open: {names}. The deadline is in {phrases.span(left)}.", *silent]
    return Reason(reason="collecting", detail=" ".join(sentences))


def _silence(seat: Participation, now: datetime) -> str:
    """'ben was last seen 1 min 30 s ago while uploading, 62 %.'"""
    name, seen = seat.client.name, seat.client.last_seen
    if seen is None:
        return f"{name} left."
    doing = f" while {seat.phase}, {round(100 * seat.done)} %" if seat.phase else ""
    return f"{name} was last seen {phrases.span(round((now - seen).total_seconds()))} ago{doing}."


def _of_opening(session: TrainingSession, now: datetime) -> list[Reason]:
    if rounds.rests(session, now):
        return [_of_rest(session, now)]
    sessions = [one for one in TrainingSession.objects.waiting_for_a_round() if not rounds.rests(one, now)]
    turn = next((turn for turn in rounds.turns(sessions, rounds.pool(now)) if turn.session == session), None)
    if turn is None or turn.is_due or turn.error:  # it opens with the next tick
        return []
    online, quorum = turn.pool.online, session.quorum
    tagged = f" with the tag {' or '.join(session.client_tags)}" if session.client_tags else ""
    if not online:
        soon = f"The round opens by itself as soon as {phrases.clients_are(quorum)} there."
        return [Reason(reason="no_clients", detail=f"Nobody{tagged} is online. {soon}")]
    if turn.asked < quorum:
        needed = f"{phrases.clients_are(quorum)} needed and {phrases.are(online)} online{tagged}"
        return [Reason(reason="too_few_clients", detail=f"{needed}. The round opens by itself.")]
    if len(turn.pool.free) >= turn.asked:
        first = phrases.listed([f"{other.name!r}" for other in turn.ahead])
        detail = f"It is the turn of {first} first, which waited longer and may ask the same clients."
        return [Reason(reason="clients_busy", detail=detail)]
    return [Reason(reason="clients_busy", detail=_busy(turn))]


def _of_rest(session: TrainingSession, now: datetime) -> Reason:
    failed, until = session.last_round(), session.idle_since
    assert failed is not None and until is not None
    again = phrases.span(math.ceil((until - now).total_seconds()))
    failed_times = f"Round {failed.number} failed {phrases.times(failed.attempt)}"
    return Reason(reason="retrying", detail=f"{failed_times}. It is tried again in {again}. {failed.reason}")


def _busy(turn: rounds.Turn) -> str:
    busy = [client for client in turn.pool.clients if client not in turn.pool.free]
    open_seats = Participation.objects.filter(client__in=busy, status__in=OPEN).order_by()
    names = sorted(set(open_seats.values_list("round__session__name", flat=True)))
    where = f"in a round of {phrases.listed([repr(name) for name in names])}" if names else "at work elsewhere"
    asked, free = phrases.clients_are(turn.asked), phrases.are(len(turn.pool.free))
    return f"{asked} asked and {free} free; the others are {where}."


def _updates(number: int) -> str:
    return "1 update becomes" if number == 1 else f"{number} updates become"
