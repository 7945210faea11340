"""Why nothing moves, in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import TypedDict

from federation import phrases, schedules, storage
from federation.fl import early_stop
from federation.lifecycle import LIVE, OPEN, FileStatus, RoundStatus, SessionStatus, WorkKind
from federation.models import Event, Participation, Round, Server, TrainingSession
from federation.services import rounds, steps
from federation.services.models import choosing
from federation.work import initialisation

MOST_SILENT = 3  # clients that are named with what they did last


class Reason(TypedDict):
    """Why nothing moves: a code, and sentences. `detail` is the lead and the rest."""

    reason: str
    detail: str
    lead: str
    rest: str


def _because(reason: str, lead: str, *rest: str) -> Reason:
    return Reason(reason=reason, detail=" ".join([lead, *rest]), lead=lead, rest=" ".join(rest))


def reasons(session: TrainingSession, *, now: datetime) -> list[Reason]:
    """What a live session waits for, the most pressing first. Empty for one that is not live or opens a round now."""
    if session.status not in LIVE:
        return []
    return of(session, session.active_round(of_any_kind=True), now=now)


def of(session: TrainingSession, round_: Round | None, *, now: datetime) -> list[Reason]:
    """The same, for callers that have its active round, of whatever kind."""
    if session.status not in LIVE:
        return []
    found = _troubles(now)
    found += [_because("retrying", *sentences) for sentences in steps.failing(session, round_)]
    base = round_.base_model if round_ else session.last_model()
    if base is not None and base.file_status == FileStatus.DAMAGED:
        lead = f"The file of model {base} is damaged and is being made again."
        found.append(_because("preparing_model", lead, "Clients cannot fetch it meanwhile."))
    if round_ is not None:
        found.append(_of_round(session, round_, now))
        found += _of_unmeasured(session, round_)
    if session.status == SessionStatus.PAUSED:
        found.append(_of_pause(session, round_))
    elif base is None:
        found += _of_first_model(session, round_, now)
    else:
        everyone = rounds.pool(now)
        found += _of_opening(session, everyone, now) if round_ is None else []
        found += _of_left_out(session, round_, everyone.of(session, round_.kind if round_ else None), now)
    return found


LEFT_OUT = {
    rounds.Why.WORKLOAD: "it reported another version of the workload",
    rounds.Why.EXAMPLES: "it reported no example for the workload",
    rounds.Why.GAVE_UP: "it gave up in an earlier try of this round",
    rounds.Why.KIND: "its agent does not do this kind of work",
    rounds.Why.LACKS: "it did not report this workload",
    rounds.Why.VERSION: "it has another version of the workload",
    rounds.Why.STATE: "its agent cannot keep what the strategy needs; update it",
    rounds.Why.STAYS: "its agent cannot keep tensors of its own; update it",
    rounds.Why.FROZEN: "its agent cannot freeze tensors; update it",
    rounds.Why.DIGEST: "its source of the workload has another digest",
}
SEVERAL_LEFT_OUT = {
    rounds.Why.WORKLOAD: "they reported another version of the workload",
    rounds.Why.EXAMPLES: "they reported no example for the workload",
    rounds.Why.GAVE_UP: "they gave up in an earlier try of this round",
    rounds.Why.KIND: "their agents do not do this kind of work",
    rounds.Why.LACKS: "they did not report this workload",
    rounds.Why.VERSION: "they have another version of the workload",
    rounds.Why.STATE: "their agents cannot keep what the strategy needs; update them",
    rounds.Why.STAYS: "their agents cannot keep tensors of their own; update them",
    rounds.Why.FROZEN: "their agents cannot freeze tensors; update them",
    rounds.Why.DIGEST: "their sources of the workload have another digest",
}


def _of_first_model(session: TrainingSession, round_: Round | None, now: datetime) -> list[Reason]:
    """Of a session without a model. Of a workload that only sites have a site sends it."""
    if round_ is not None and round_.kind == WorkKind.INITIALISE:
        return []  # the round says it
    if not initialisation.is_needed(session) or not session.is_of_sites:
        return [_because("preparing_model", "The initial model is being made.")]
    pool = rounds.who_can_begin(session, now)
    who = f"No site that can make the first model of {_workload(session)} is"
    soon = "The session begins by itself as soon as one is."
    if not pool.clients:
        left_out = [_because("left_out", f"Not asked: {named(pool.left_out)}.")] if pool.left_out else []
        return [_because("no_clients", f"{who} online.", soon), *left_out]
    if not pool.free:
        return [_because("clients_busy", f"{who} free.", soon)]
    return [_because("preparing_model", "A site is asked for the initial model.")]


def _workload(session: TrainingSession) -> str:
    return " ".join(filter(None, [session.workload, session.workload_version]))


def _of_left_out(session: TrainingSession, round_: Round | None, pool: rounds.Pool, now: datetime) -> list[Reason]:
    """Who is online and not asked, and why; in the pause before another try of a round, also who is asked last."""
    gave_up = _gave_up(session, round_, pool) if round_ or rounds.rests(session, now) else []
    left_out = [*pool.left_out, *gave_up] if round_ else pool.left_out
    found = [_because("left_out", f"Not asked: {named(left_out)}.")] if left_out else []
    if gave_up and not round_:
        found.append(_because("left_out", f"Asked last: {named(gave_up)}."))
    return found


def _gave_up(session: TrainingSession, round_: Round | None, pool: rounds.Pool) -> list[rounds.LeftOut]:
    """Those of its clients that gave up in an earlier try of the round, and have no seat in its present one."""
    number, attempt = (round_.number, round_.attempt) if round_ else rounds.next_try(session) or (0, 1)
    if attempt == 1 or session.schedule in schedules.JOINED:
        return []
    before = rounds.who_gave_up(session, number)
    seated = set(round_.seats.values_list("client_id", flat=True)) if round_ else set()
    return [rounds.LeftOut(one, rounds.Why.GAVE_UP) for one in pool.clients if one.pk in before - seated]


def named(left_out: Sequence[rounds.LeftOut]) -> str:
    """Clients, with why they are left out; those of one reason stand together."""
    by_why: dict[rounds.Why, list[str]] = {}
    for one in sorted(left_out, key=lambda one: one.client.name):
        by_why.setdefault(one.why, []).append(one.client.name)
    sentences = {why: (LEFT_OUT if len(names) == 1 else SEVERAL_LEFT_OUT)[why] for why, names in by_why.items()}
    return "; ".join(f"{phrases.listed(names)} ({sentences[why]})" for why, names in by_why.items())


def _troubles(now: datetime) -> list[Reason]:
    found = []
    server = Server.objects.filter(pk=1).first()
    if server is None or not server.is_ticking(now):
        lead = "No worker is at work, so rounds neither open nor close."
        found.append(_because("worker_silent", lead, "Start the worker and the beat."))
    if (server is not None and server.storage_low_since is not None) or storage.is_full():
        found.append(_because("disk_full", "The server's disk is full.", "Make room; it goes on by itself."))
    return found


def _of_pause(session: TrainingSession, round_: Round | None) -> Reason:
    last = session.events.filter(kind=Event.Kind.SESSION_PAUSED).order_by("-seq").first()
    by = last.payload.get("by") if last else ""
    who = f"was paused by {by}" if by else "is paused"
    rest = "the open round goes on, no new one opens" if round_ else "no round opens until it is resumed"
    return _because("paused", f"The session {who}: {rest}.")


_OF_OPEN = ("client__name", "client__enabled", "client__last_seen", "round__number", "phase", "fraction")


def _of_round(session: TrainingSession, round_: Round, now: datetime) -> Reason:
    schedule, tally = rounds.schedule_of(round_), rounds.tally(round_)
    if round_.status == RoundStatus.AGGREGATING:
        all_ = tally.reported + round_.late_seats.count()
        return _because("aggregating", f"{_updates(all_)} the model of round {round_.number}.")
    open_ = Participation.objects.filter(round__session=session, status__among=OPEN).select_related("client", "round")
    still = sorted(open_.only(*_OF_OPEN), key=lambda seat: seat.client.name)
    left = max(0, round((round_.deadline - now).total_seconds()))
    reported, needed = schedule.counted(tally), session.quorum
    if round_.kind == WorkKind.INITIALISE:
        state = "A client sends the initial model"
    elif round_.kind != WorkKind.TRAIN:
        which = f"model {round_.base_model}" if session.kind == WorkKind.TRAIN else "the model"
        state = f"The sites measure {which}; {phrases.clients_are(reported)} done"
    elif reported < needed:
        state = f"{reported} of {needed} needed updates {'is' if reported == 1 else 'are'} in"
    else:
        state = f"The quorum of {needed} is reached; more updates make a better model"
    names = phrases.listed([seat.client.name for seat in still if seat.round_id == round_.pk])
    earlier = [f"{seat.client.name} (round {seat.round.number})" for seat in still if seat.round_id != round_.pk]
    sentences = [f"Open: {names}.", f"The deadline is in {phrases.span(left)}."]
    sentences += [f"Still at work for an earlier round: {phrases.listed(earlier)}."] if earlier else []
    sentences += [_silence(seat, now) for seat in still if not seat.client.is_online(now)][:MOST_SILENT]
    return _because("collecting", f"{state}.", *sentences)


def _silence(seat: Participation, now: datetime) -> str:
    """'ben was last seen 1 min 30 s ago while uploading, 62 %.'"""
    name, seen = seat.client.name, seat.client.last_seen
    if seen is None:
        return f"{name} left."
    doing = f" while {seat.phase}, {round(100 * seat.done)} %" if seat.phase else ""
    return f"{name} was last seen {phrases.span(round((now - seen).total_seconds()))} ago{doing}."


def _of_unmeasured(session: TrainingSession, round_: Round) -> list[Reason]:
    """That the session may stop early, and that its newest model cannot say so."""
    model, measure = round_.base_model, choosing.main_measure(session)
    if model is None or not model.version or not early_stop.by_server(session.early_stop) or measure is None:
        return []
    if model.evaluated_at is None:
        lead = f"The server has not measured {model} yet, and the session continued without it."
        return [_because("unmeasured", lead, "It stops early once a measured model says so.")]
    if choosing.value(model, "metrics", measure.name) is None:
        lead = f"The server could not measure the {measure.phrase} of {model}, and the session continued without it."
        return [_because("unmeasured", lead, *filter(None, [model.evaluation_error]))]
    return []


def _of_opening(session: TrainingSession, everyone: rounds.Pool, now: datetime) -> list[Reason]:
    if rounds.rests(session, now):
        return [_of_rest(session, now)]
    if (model := rounds.awaited(session, now)) is not None:
        lead = f"The server measures {model}, because the session may stop early."
        return [_because("preparing_model", lead, "The next round opens when it is done, or after 10 minutes.")]
    turn = next((turn for turn in rounds.turns(rounds.ready(now), everyone) if turn.session == session), None)
    if turn is None or turn.is_due or turn.error:  # it opens with the next tick
        return []
    online, needed = turn.pool.online, turn.needed
    tagged = _chosen_by(session)
    if not online:
        what = "The round opens" if session.kind == WorkKind.TRAIN else "It begins"
        soon = f"{what} by itself as soon as {phrases.clients_are(needed)} there."
        others = _others(turn.pool)
        if session.client_ids:
            nobody = f"None of the chosen clients is online{others}"
        elif session.is_of_sites:
            nobody = f"No site that has {_workload(session)}{_chosen_by(session)} is online{others}"
        else:
            nobody = f"Nobody{' else' if turn.pool.working else ''}{tagged} is online{others}"
            if turn.pool.left_out and not turn.pool.working:
                nobody = f"Nobody{tagged} who can take part is online{others}"
        return [_because("no_clients", f"{nobody}.", soon)]
    if online < needed:
        are = f"{phrases.clients_are(needed)} needed and {phrases.are(online)} online{tagged}"
        return [_because("too_few_clients", f"{are}{_others(turn.pool)}.", "The round opens by itself.")]
    if len(turn.pool.free) >= max(turn.asked, needed):
        first = phrases.listed([f"{other.name!r}" for other in turn.ahead])
        lead = f"It is the turn of {first} first, which waited longer and may ask the same clients."
        return [_because("clients_busy", lead)]
    return [_because("clients_busy", _busy(turn))]


def _chosen_by(session: TrainingSession) -> str:
    """' with the tag gpu'; empty where any client may be asked."""
    return f" with the tag {' or '.join(session.client_tags)}" if session.client_tags else ""


def _of_rest(session: TrainingSession, now: datetime) -> Reason:
    failed, until = session.last_round(), session.idle_since
    assert failed is not None and until is not None
    again = phrases.span(math.ceil((until - now).total_seconds()))
    lead = f"Round {failed.number} failed {phrases.times(failed.attempt)}."
    return _because("retrying", lead, f"It is tried again in {again}.", failed.reason)


def _others(pool: rounds.Pool) -> str:
    """'; 2 work for it already, 1 is left out': clients that are online and are not counted."""
    said = [f"{pool.working} work{'s' if pool.working == 1 else ''} for it already"] if pool.working else []
    said += [f"{phrases.are(len(pool.left_out))} left out"] if pool.left_out else []
    return f"; {', '.join(said)}" if said else ""


def _busy(turn: rounds.Turn) -> str:
    busy = [client for client in turn.pool.clients if client not in turn.pool.free]
    open_seats = Participation.objects.filter(client__in=busy, status__among=OPEN).order_by()
    names = sorted(set(open_seats.values_list("round__session__name", flat=True)))
    where = f"in a round of {phrases.listed([repr(name) for name in names])}" if names else "at work elsewhere"
    asked, free = phrases.clients_are(max(turn.asked, turn.needed)), phrases.are(len(turn.pool.free))
    return f"{asked} asked and {free} free; the others are {where}."


def _updates(number: int) -> str:
    return "1 update becomes" if number == 1 else f"{number} updates become"
