"""Events of the evaluations in which sites measure a model."""

from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.kit import formats
from dashboard.kit.event_sentences import parts
from dashboard.kit.event_sentences.parts import Payload, Sayings
from federation.models import Event

K = Event.Kind


def _model(p: Payload) -> SafeString:
    """A session that only measures has one model, another session's: version 0 here, and of no round."""
    version = p.get("version", "?")
    return parts.bold(f"Model v{version}" if version else "The model")


def _opened(p: Payload) -> SafeString:
    clients = formats.count(len(p.get("clients") or ()), "client")
    return format_html("{} is measured by {} until {}.", _model(p), clients, parts.moment(p.get("deadline")))


def _completed(p: Payload) -> SafeString:
    results = parts.all_results(p.get("metrics"))
    clients = formats.count(p.get("results") or 0, "client")
    return format_html("{} was measured by {}{}.", _model(p), clients, f": {results}" if results else "")


def _failed(p: Payload) -> SafeString:
    rest = " It opens again." if p.get("retried") else ""
    return format_html("{} could not be measured by the clients{}{}", _model(p), parts.reason(p), rest)


SAYINGS: Sayings = {
    K.EVALUATION_OPENED: ("offered", "run", _opened),
    K.EVALUATION_COMPLETED: ("star", "ok", _completed),
    K.EVALUATION_FAILED: ("x-circle", "bad", _failed),
}
