"""Events of models and of the files on the server's disk."""

from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.kit import formats
from dashboard.kit.event_sentences import parts
from dashboard.kit.event_sentences.parts import Payload, Sayings
from federation.models import Event, ServerEvent

K = Event.Kind
S = ServerEvent.Kind


def _published(p: Payload) -> SafeString:
    value, unit = formats.size(p.get("num_bytes") or 0)
    made = f"published by round {p['round']}" if p.get("round") else "is the session's first"
    return format_html("{} {}, {} {}.", parts.bold(f"Model v{p.get('version', '?')}"), made, value, unit)


def _evaluated(p: Payload) -> SafeString:
    results = parts.all_results(p.get("metrics"))
    model = parts.bold(f"Model v{p.get('version', '?')}")
    if p.get("error"):
        return format_html("{} could not be evaluated: {}.", model, str(p["error"]).rstrip("."))
    if not results:
        return format_html("{} has no test set to be evaluated on.", model)
    return format_html("{} evaluated on the test set: {}.", model, results)


def _damaged(p: Payload) -> SafeString:
    found = "is missing" if p.get("missing") else "was damaged"
    if p.get("what") == "update":
        then = "It is asked again" if p.get("then") == "asked_again" else "It cannot be asked again"
        return format_html("The update of {} {} on the server's disk. {}.", parts.client(p), found, then)
    of = "optimizer state of model" if p.get("what") == "optimizer state" else "file of model"
    version = parts.bold(f"v{p.get('version', '?')}")
    return format_html("The {} {} {} on the server's disk. It is being made again.", of, version, found)


def _repaired(p: Payload) -> SafeString:
    return format_html("{} was made again, with the same digest.", parts.bold(f"Model v{p.get('version', '?')}"))


def _model(p: Payload) -> SafeString:
    model = p.get("model") or {}
    return parts.bold(f"v{model.get('version', '?')} of {model.get('of', 'a session')}")


def _tagged(p: Payload) -> SafeString:
    before = p.get("instead_of")
    rest = f", in place of v{before.get('version')} of {before.get('of')}" if before else ""
    return format_html("{} tagged {} as {}{}.", parts.by(p), _model(p), p.get("tag", "?"), rest)


def _untagged(p: Payload) -> SafeString:
    return format_html("{} took the tag {} off {}.", parts.by(p), p.get("tag", "?"), _model(p))


def _noted(p: Payload) -> SafeString:
    return format_html("{} wrote a note on {}.", parts.by(p), _model(p))


SAYINGS: Sayings = {
    K.MODEL_PUBLISHED: ("models", "ok", _published),
    K.MODEL_EVALUATED: ("star", "ok", _evaluated),
    K.STORAGE_DAMAGED: ("disk", "bad", _damaged),
    K.STORAGE_REPAIRED: ("disk", "ok", _repaired),
    S.MODEL_TAGGED: ("star", "ok", _tagged),
    S.MODEL_UNTAGGED: ("minus-circle", "idle", _untagged),
    S.MODEL_NOTED: ("draft", "idle", _noted),
}
