"""One entry of a log as a page shows it."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.kit import formats
from dashboard.kit.event_sentences import clients, evaluations, models, rounds, seats, server, sessions
from dashboard.kit.event_sentences.parts import Payload, Say, Sayings
from federation.models import Event, LogEntry, ServerEvent

log = logging.getLogger(__name__)
K = Event.Kind

PROBLEMS = (
    K.SESSION_FAILED,
    K.ROUND_FAILED,
    K.EVALUATION_FAILED,
    K.SEAT_DROPPED,
    K.SEAT_FAILED,
    K.UPDATE_REJECTED,
    K.UPDATE_LATE,
    K.STORAGE_DAMAGED,
)
SAYINGS: Sayings = {
    **sessions.SAYINGS,
    **rounds.SAYINGS,
    **evaluations.SAYINGS,
    **seats.SAYINGS,
    **models.SAYINGS,
    **clients.SAYINGS,
    **server.SAYINGS,
}


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


def _said(say: Say, payload: Payload) -> SafeString:
    """The sentence, or just the kind if this server's services did not write the payload."""
    try:
        return say(payload)
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError):
        log.warning("an event of the kind %s could not be put into words", payload["kind"], exc_info=True)
        return _unreadable(payload)


def lines(events: Iterable[Event | ServerEvent]) -> list[Line]:
    return [line(event, event.kind) for event in events]


def _unknown(p: Payload) -> SafeString:
    return format_html("{}", p["kind"])


def _unreadable(p: Payload) -> SafeString:
    return format_html("{}. Its details cannot be shown.", formats.capital(str(p["kind"]).replace(".", " ")))
