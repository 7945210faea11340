"""Events of a session as a whole."""

from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.kit import formats
from dashboard.kit.event_sentences import parts
from dashboard.kit.event_sentences.parts import Payload, Say, Sayings
from federation.fl import measures
from federation.fl.early_stop import Why
from federation.models import Event, ServerEvent

K = Event.Kind
S = ServerEvent.Kind


def _created(p: Payload) -> SafeString:
    return format_html("{} created {}.", parts.by(p), parts.bold(p.get("name") or "the session"))


def _did(verb: str, rest: str = "") -> Say:
    return lambda p: format_html("{} {} the session{}.", parts.by(p), verb, rest)


def _more(p: Payload) -> SafeString:
    more = formats.count(p.get("more") or 0, "more round")
    return format_html("{} added {}: {} in all.", parts.by(p), more, p.get("rounds", "?"))


def _completed(p: Payload) -> SafeString:
    rounds = p.get("rounds")
    after = f" after {formats.count(rounds, 'round')}" if rounds else ""
    return format_html(
        "The session is completed{}.{}", after, _stopped_early(p.get("early_stop")) or _spent(p.get("privacy"))
    )


def _stopped_early(stop: object) -> str:
    """Why it did not train all its rounds, as a sentence; empty if it did."""
    if not isinstance(stop, dict):
        return ""
    measure = measures.of(str(stop.get("measure", ""))).phrase
    value, best = (formats.metric(stop.get(name)) for name in ("value", "best"))
    if stop.get("why") == Why.TARGET:
        return f" It stopped early: the {measure} reached {value}."
    return f" It stopped early: the {measure} got no better than {best}."


def _spent(privacy: object) -> str:
    """That it would have exceeded its budget of epsilon, as a sentence; empty if not."""
    if not isinstance(privacy, dict):
        return ""
    after, budget = (formats.metric(privacy.get(name)) for name in ("next", "budget"))
    return f" It stopped early: with another round its epsilon would be {after}, and its budget is {budget}."


def _session_failed(p: Payload) -> SafeString:
    return format_html("The session failed{}", parts.reason(p))


def _deleted(p: Payload) -> SafeString:
    return format_html("{} deleted the session {}.", parts.by(p), parts.bold(p.get("name") or "?"))


SAYINGS: Sayings = {
    K.SESSION_CREATED: ("draft", "idle", _created),
    K.SESSION_STARTED: ("play", "run", _did("started")),
    K.SESSION_PAUSED: ("pause", "idle", _did("paused", "; no new round opens")),
    K.SESSION_RESUMED: ("play", "run", _did("resumed")),
    K.SESSION_EXTENDED: ("plus", "idle", _more),
    K.SESSION_COMPLETED: ("check-circle", "ok", _completed),
    K.SESSION_FAILED: ("x-circle", "bad", _session_failed),
    K.SESSION_CANCELLED: ("stop", "idle", _did("cancelled")),
    S.SESSION_DELETED: ("ban", "idle", _deleted),
}
