"""Events in words: names first, one fact and what follows from it."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard import protection, wording
from dashboard.templatetags import ui
from federation.models import Event, LogEntry, ServerEvent

log = logging.getLogger(__name__)
Payload = Mapping[str, Any]
K = Event.Kind
S = ServerEvent.Kind

PROBLEMS = (
    K.SESSION_FAILED,
    K.ROUND_FAILED,
    K.SEAT_DROPPED,
    K.SEAT_FAILED,
    K.UPDATE_REJECTED,
    K.UPDATE_LATE,
    K.STORAGE_DAMAGED,
)
BY_PEOPLE = (
    K.SESSION_CREATED,
    K.SESSION_STARTED,
    K.SESSION_PAUSED,
    K.SESSION_RESUMED,
    K.SESSION_EXTENDED,
    K.SESSION_CANCELLED,
    K.ROUND_EXTENDED,
    K.ROUND_FINISHED,
    K.SEAT_SKIPPED,
)


@dataclass(frozen=True, slots=True)
class Line:
    """One event as the page shows it."""

    seq: int
    kind: str
    time: datetime
    icon: str
    tone: str
    sentence: SafeString
    by: str = ""  # who did it
    session: str = ""  # its session's name, where several are listed together
    session_id: int | None = None

    @property
    def toned(self) -> str:
        return f"tone-{self.tone}"


def line(event: LogEntry, kind: str) -> Line:
    """An entry of either log. Never raises: what a payload lacks is left out of the sentence."""
    icon, tone, say = SAYINGS.get(kind, ("info", "idle", _unknown))
    payload = event.payload if isinstance(event.payload, dict) else {}
    return Line(event.seq, kind, event.time, icon, tone, _said(say, {**payload, "kind": kind}))


def _said(say: Callable[[Payload], SafeString], payload: Payload) -> SafeString:
    """The sentence, or just the kind if this server's services did not write the payload."""
    try:
        return say(payload)
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError):
        log.warning("an event of the kind %s could not be put into words", payload["kind"], exc_info=True)
        return _unreadable(payload)


def lines(events: Iterable[Event | ServerEvent]) -> list[Line]:
    return [line(event, event.kind) for event in events]


# ---- parts of sentences


def _bold(text: object) -> SafeString:
    return format_html("<strong>{}</strong>", text)


def _client(p: Payload) -> SafeString:
    return _bold((p.get("client") or {}).get("name") or "A client")


def _round(p: Payload) -> SafeString:
    attempt = p.get("attempt") or 1
    again = f", try {attempt}" if attempt > 1 else ""
    return _bold(f"Round {p.get('round', '?')}{again}")


def _by(p: Payload) -> SafeString:
    return _bold(p.get("by") or "A script")


def _reason(p: Payload) -> str:
    """': the reason.', or a full stop."""
    reason = str(p.get("reason") or "").strip()
    return f": {reason.rstrip('.')}." if reason else "."


def _results(metrics: Mapping[str, Any] | None, names: Mapping[str, str]) -> str:
    """'accuracy 0.858, loss 0.446', of those that are there."""
    found = [
        f"{word} {wording.metric(value)}"
        for name, word in names.items()
        if isinstance(value := (metrics or {}).get(name), int | float)
    ]
    return ", ".join(found)


def _moment(text: object) -> SafeString | str:
    moment = parse_datetime(text) if isinstance(text, str) else None
    return ui.clock(moment) if moment else "later"


# ---- sessions and rounds


def _unknown(p: Payload) -> SafeString:
    return format_html("{}", p["kind"])


def _unreadable(p: Payload) -> SafeString:
    return format_html("{}. Its details cannot be shown.", wording.capital(str(p["kind"]).replace(".", " ")))


def _created(p: Payload) -> SafeString:
    return format_html("{} created {}.", _by(p), _bold(p.get("name") or "the session"))


def _did(verb: str, rest: str = "") -> Callable[[Payload], SafeString]:
    return lambda p: format_html("{} {} the session{}.", _by(p), verb, rest)


def _more(p: Payload) -> SafeString:
    more = wording.count(p.get("more") or 0, "more round")
    return format_html("{} added {}: {} in all.", _by(p), more, p.get("rounds", "?"))


def _completed(p: Payload) -> SafeString:
    rounds = p.get("rounds")
    return format_html("The session is completed{}.", f" after {wording.count(rounds, 'round')}" if rounds else "")


def _session_failed(p: Payload) -> SafeString:
    return format_html("The session failed{}", _reason(p))


def _opened(p: Payload) -> SafeString:
    clients = wording.count(len(p.get("clients") or ()), "client")
    by, needed = _moment(p.get("deadline")), p.get("quorum", "?")
    learnt = ", as learnt from the rounds before" if p.get("learnt") else ""
    return format_html("{} opened for {}; {} must report by {}{}.", _round(p), clients, needed, by, learnt)


def _aggregated(p: Payload) -> SafeString:
    took = wording.duration(float(p.get("aggregation_seconds") or 0))
    updates = wording.count(p.get("updates") or 0, "update")
    return format_html(
        "{} aggregated {} in {}{}.{}", _round(p), updates, took, _of_late(p.get("late")), _of_clipped(p.get("clipped"))
    )


def _of_clipped(clipped: Iterable[Payload] | None) -> str:
    """' carl: its norm of 3e+06 was clipped to 100.'"""
    return "".join(f" {one['client']['name']}: {protection.of_flags(one.get('flags'))}" for one in clipped or ())


def _of_late(late: Iterable[Payload] | None) -> str:
    """', that of anna of round 2 among them'."""
    names = [f"{(p.get('client') or {}).get('name')} of round {p.get('round')}" for p in late or ()]
    return f", late ones of {wording.listed(names)} among them" if names else ""


def _round_completed(p: Payload) -> SafeString:
    updates = wording.count(p.get("updates") or 0, "update")
    return format_html(
        "{} is completed with {} after {}.", _round(p), updates, wording.duration(float(p.get("seconds") or 0))
    )


def _round_failed(p: Payload) -> SafeString:
    rest = " It opens again." if p.get("retried") else " It is skipped." if p.get("skipped") else ""
    return format_html("{} failed{}{}", _round(p), _reason(p), rest)


def _round_cancelled(p: Payload) -> SafeString:
    return format_html("{} was cancelled with its session.", _round(p))


def _extended(p: Payload) -> SafeString:
    by = wording.span(int(p.get("seconds") or 0))
    return format_html(
        "{} extended round {} by {}, to {}.", _by(p), p.get("round", "?"), by, _moment(p.get("deadline"))
    )


# ---- seats, updates, models


def _training(p: Payload) -> SafeString:
    return format_html("{} took the work of round {}.", _client(p), p.get("round", "?"))


def _dropped(p: Payload) -> SafeString:
    return format_html("{} was dropped from round {}{}", _client(p), p.get("round", "?"), _reason(p))


def _gave_up(p: Payload) -> SafeString:
    return format_html("{} gave up round {}{}", _client(p), p.get("round", "?"), _reason(p))


def _skipped(p: Payload) -> SafeString:
    return format_html("{} skipped {} in round {}.", _by(p), _client(p), p.get("round", "?"))


def _received(p: Payload) -> SafeString:
    results = _results(p.get("metrics"), {"train_loss": "loss", "val_accuracy": "own accuracy"})
    examples = wording.count(p.get("num_examples") or 0, "example")
    odd = protection.of_flags(p.get("flags"))
    rest = f", {results}" if results else ""
    return format_html("{} reported: {}{}.{}", _client(p), examples, rest, f" {odd}" if odd else "")


def _rejected(p: Payload) -> SafeString:
    return format_html("{} sent an update that was rejected{}", _client(p), _reason(p))


def _late(p: Payload) -> SafeString:
    if p.get("accepted"):
        number = p.get("counted_in")
        then = f"round {number}" if number else "the next round"
        return format_html("{} reported for round {}. It counts in {}.", _client(p), p.get("round", "?"), then)
    then = "counts in the next round" if p.get("counts") else "does not count"
    return format_html(
        "{} sent its update of round {} too late. It is kept and {}.", _client(p), p.get("round", "?"), then
    )


def _published(p: Payload) -> SafeString:
    value, unit = wording.size(p.get("num_bytes") or 0)
    made = f"published by round {p['round']}" if p.get("round") else "is the initial model"
    return format_html("{} {}, {} {}.", _bold(f"Model v{p.get('version', '?')}"), made, value, unit)


def _evaluated(p: Payload) -> SafeString:
    results = _results(p.get("metrics"), {"accuracy": "accuracy", "loss": "loss"})
    model = _bold(f"Model v{p.get('version', '?')}")
    if p.get("error"):
        return format_html("{} could not be evaluated: {}.", model, str(p["error"]).rstrip("."))
    if not results:
        return format_html("{} has no test set to be evaluated on.", model)
    return format_html("{} evaluated on the test set: {}.", model, results)


def _metrics(p: Payload) -> SafeString:
    points = p.get("points") or ()
    if not points:
        return format_html("{} is {} in round {}.", _client(p), p.get("phase", "at work"), p.get("round", "?"))
    names = wording.listed(sorted({str(point.get("name")) for point in points}))
    return format_html("{} sent {} of {}.", _client(p), wording.count(len(points), "point"), names)


def _left_out(p: Payload) -> SafeString:
    kept = [wording.count(int(p.get(name) or 0), what) for name, what in QUOTAS]
    return format_html(
        "{} exceeded a quota in round {}: {} and {} a round, {} a session. The rest is left out; its work continues.",
        _client(p),
        p.get("round", "?"),
        *kept,
    )


QUOTAS = (("seat_points", "point"), ("seat_measures", "measure"), ("session_points", "point"))


def _reopened(p: Payload) -> SafeString:
    names = wording.listed([str(client.get("name")) for client in p.get("clients") or ()])
    if not names:
        return format_html("{} collects again.", _round(p))
    return format_html("{} collects again: {} must send again by {}.", _round(p), names, _moment(p.get("deadline")))


def _postponed(p: Payload) -> SafeString:
    return format_html("{} has no update yet. It waits for one until {}.", _round(p), _moment(p.get("deadline")))


def _joined(p: Payload) -> SafeString:
    turn = int(p.get("turn") or 1)
    again = f": its turn {turn}" if turn > 1 else ""
    return format_html("{} joined round {}{}.", _client(p), p.get("round", "?"), again)


def _damaged(p: Payload) -> SafeString:
    found = "is missing" if p.get("missing") else "was damaged"
    if p.get("what") == "update":
        then = "It is asked again" if p.get("then") == "asked_again" else "It cannot be asked again"
        return format_html("The update of {} {} on the server's disk. {}.", _client(p), found, then)
    of = "optimizer state of model" if p.get("what") == "optimizer state" else "file of model"
    version = _bold(f"v{p.get('version', '?')}")
    return format_html("The {} {} {} on the server's disk. It is being made again.", of, version, found)


def _repaired(p: Payload) -> SafeString:
    return format_html("{} was made again, with the same digest.", _bold(f"Model v{p.get('version', '?')}"))


# ---- the server's own log


def _of_client(rest: str) -> Callable[[Payload], SafeString]:
    return lambda p: format_html("{} {}.", _client(p), rest)


def _left(p: Payload) -> SafeString:
    if p.get("removed"):
        return format_html("{} removed {}.", _by(p), _client(p))
    return format_html("{} left.", _client(p))


def _switched(verb: str) -> Callable[[Payload], SafeString]:
    return lambda p: format_html("{} {} {}.", _by(p), verb, _client(p))


def _client_tagged(p: Payload) -> SafeString:
    tags = ", ".join(map(str, p.get("tags") or ())) or "no group"
    return format_html("{} put {} into {}.", _by(p), _client(p), tags)


def _enrolled(p: Payload) -> SafeString:
    if p.get("again"):
        return format_html("{} joined again with a new token. The old one is no longer valid.", _client(p))
    alike = p.get("looks_like")
    if isinstance(alike, list) and alike:
        names = wording.listed([str(name) for name in alike])
        return format_html("{} joined. Its name looks like that of {}. Check which client is which.", _client(p), names)
    return format_html("{} joined.", _client(p))


def _reissued(p: Payload) -> SafeString:
    hint = p.get("hint", "")
    return format_html("{} made the code {} that lets {} in again with a new token.", _by(p), hint, _client(p))


def _client_changed(p: Payload) -> SafeString:
    return format_html("{} {}.", _client(p), changes(p.get("changes")))


def changes(found: Iterable[Mapping[str, Any]] | None) -> str:
    """What of a client's data or workloads changed: 'has other data: 80 examples instead of 100'."""
    known = [one for one in found if isinstance(one, dict)] if isinstance(found, list | tuple) else []
    parts = [_change(one) for one in known if one.get("what") != "workload"]
    sources = [str(one.get("name")) for one in known if one.get("what") == "workload"]
    if sources:
        parts.append(f"has another source of {'the workload' if len(sources) == 1 else 'the workloads'} ")
        parts[-1] += wording.listed(sources)
    return " and ".join(parts) or "has changed"


def _change(change: Mapping[str, Any]) -> str:
    before, after = change.get("before"), change.get("after")
    if isinstance(before, int) and isinstance(after, int):
        return f"has other data: {wording.count(after, 'example')} instead of {wording.number(before)}"
    return "has other data, though as many examples"


def _invited(p: Payload) -> SafeString:
    uses = wording.count(p.get("uses") or 1, "client")
    return format_html("{} made the invitation {} for {}.", _by(p), p.get("hint", ""), uses)


def _revoked(p: Payload) -> SafeString:
    return format_html("{} revoked the invitation {}.", _by(p), p.get("hint", ""))


def _model(p: Payload) -> SafeString:
    model = p.get("model") or {}
    return _bold(f"v{model.get('version', '?')} of {model.get('of', 'a session')}")


def _tagged(p: Payload) -> SafeString:
    before = p.get("instead_of")
    rest = f", in place of v{before.get('version')} of {before.get('of')}" if before else ""
    return format_html("{} tagged {} as {}{}.", _by(p), _model(p), p.get("tag", "?"), rest)


def _untagged(p: Payload) -> SafeString:
    return format_html("{} took the tag {} off {}.", _by(p), p.get("tag", "?"), _model(p))


def _noted(p: Payload) -> SafeString:
    return format_html("{} wrote a note on {}.", _by(p), _model(p))


def _raised(p: Payload) -> SafeString:
    return format_html("{}", p.get("sentence") or "An alert was raised.")


def _acknowledged(p: Payload) -> SafeString:
    return format_html("{} acknowledged {}.", _by(p), wording.count(p.get("count") or 1, "alert"))


def _rule(verb: str) -> Callable[[Payload], SafeString]:
    return lambda p: format_html("{} {} the alert rule {}.", _by(p), verb, str(p.get("rule", "")).replace("_", " "))


def _deleted(p: Payload) -> SafeString:
    return format_html("{} deleted the session {}.", _by(p), _bold(p.get("name") or "?"))


def _finished(p: Payload) -> SafeString:
    return format_html("{} finished round {} with the updates that were in.", _by(p), p.get("round", "?"))


def _plain(sentence: str) -> Callable[[Payload], SafeString]:
    return lambda p: format_html("{}", sentence)


def _silent(p: Payload) -> SafeString:
    return format_html("The worker is silent since {}: rounds neither open nor close.", _moment(p.get("last_tick")))


def _jumped(p: Payload) -> SafeString:
    seconds = float(p.get("seconds") or 0)
    to = "forward" if seconds > 0 else "back"
    moved = wording.span(round(abs(seconds)))
    return format_html("The server's clock was set {} by {}. Deadlines moved with it.", to, moved)


SAYINGS: Mapping[str, tuple[str, str, Callable[[Payload], SafeString]]] = {
    K.SESSION_CREATED: ("draft", "idle", _created),
    K.SESSION_STARTED: ("play", "run", _did("started")),
    K.SESSION_PAUSED: ("pause", "idle", _did("paused", "; no new round opens")),
    K.SESSION_RESUMED: ("play", "run", _did("resumed")),
    K.SESSION_EXTENDED: ("plus", "idle", _more),
    K.SESSION_COMPLETED: ("check-circle", "ok", _completed),
    K.SESSION_FAILED: ("x-circle", "bad", _session_failed),
    K.SESSION_CANCELLED: ("stop", "idle", _did("cancelled")),
    K.ROUND_OPENED: ("offered", "run", _opened),
    K.ROUND_AGGREGATED: ("layers", "run", _aggregated),
    K.ROUND_COMPLETED: ("check-circle", "ok", _round_completed),
    K.ROUND_FAILED: ("x-circle", "bad", _round_failed),
    K.ROUND_CANCELLED: ("stop", "idle", _round_cancelled),
    K.ROUND_EXTENDED: ("clock-plus", "idle", _extended),
    K.ROUND_REOPENED: ("offered", "wait", _reopened),
    K.ROUND_POSTPONED: ("clock-plus", "wait", _postponed),
    K.ROUND_FINISHED: ("flag", "idle", _finished),
    K.SEAT_INVITED: ("offered", "idle", _joined),
    K.SEAT_TRAINING: ("training", "run", _training),
    K.SEAT_DROPPED: ("unlink", "idle", _dropped),
    K.SEAT_FAILED: ("x-circle", "bad", _gave_up),
    K.SEAT_SKIPPED: ("skip", "idle", _skipped),
    K.UPDATE_RECEIVED: ("check", "ok", _received),
    K.UPDATE_REJECTED: ("ban", "bad", _rejected),
    K.UPDATE_LATE: ("late", "wait", _late),
    K.MODEL_PUBLISHED: ("models", "ok", _published),
    K.MODEL_EVALUATED: ("star", "ok", _evaluated),
    K.METRICS_REPORTED: ("sessions", "idle", _metrics),
    K.METRICS_LEFT_OUT: ("sessions", "wait", _left_out),
    K.STORAGE_DAMAGED: ("disk", "bad", _damaged),
    K.STORAGE_REPAIRED: ("disk", "ok", _repaired),
    S.CLIENT_ENROLLED: ("plus", "ok", _enrolled),
    S.CLIENT_ONLINE: ("dot", "ok", _of_client("is online")),
    S.CLIENT_OFFLINE: ("away", "wait", _of_client("went silent")),
    S.CLIENT_LEFT: ("away", "idle", _left),
    S.CLIENT_ENABLED: ("check", "ok", _switched("enabled")),
    S.CLIENT_DISABLED: ("minus-circle", "idle", _switched("disabled")),
    S.CLIENT_REISSUED: ("refresh", "idle", _reissued),
    S.CLIENT_CHANGED: ("warning", "wait", _client_changed),
    S.CLIENT_TAGGED: ("clients", "idle", _client_tagged),
    S.INVITATION_CREATED: ("plus", "idle", _invited),
    S.INVITATION_REVOKED: ("ban", "idle", _revoked),
    S.MODEL_TAGGED: ("star", "ok", _tagged),
    S.MODEL_UNTAGGED: ("minus-circle", "idle", _untagged),
    S.MODEL_NOTED: ("draft", "idle", _noted),
    S.ALERT_RAISED: ("alerts", "bad", _raised),
    S.ALERT_ACKNOWLEDGED: ("check", "idle", _acknowledged),
    S.RULE_CREATED: ("plus", "idle", _rule("made")),
    S.RULE_CHANGED: ("draft", "idle", _rule("changed")),
    S.RULE_DELETED: ("ban", "idle", _rule("deleted")),
    S.SESSION_DELETED: ("ban", "idle", _deleted),
    S.WORKER_SILENT: ("warning", "bad", _silent),
    S.WORKER_RECOVERED: ("check-circle", "ok", _plain("The worker is at work again.")),
    S.STORAGE_LOW: ("disk", "bad", _plain("The server's disk is full. Make room; the sessions go on by themselves.")),
    S.STORAGE_RECOVERED: ("disk", "ok", _plain("The server's disk has room again.")),
    S.CLOCK_JUMPED: ("clock", "wait", _jumped),
}
