"""The newest events of all logs, in words."""

from __future__ import annotations

from dataclasses import replace

from dashboard.kit import event_sentences
from dashboard.kit.event_sentences import Line
from federation.models import Event, ServerEvent, TrainingSession

HAPPENED = 8
QUIET = (Event.Kind.METRICS_REPORTED, Event.Kind.SEAT_INVITED, Event.Kind.SEAT_TRAINING)  # too many, and told elsewhere


def newest() -> list[Line]:
    """The newest events of all logs, in words."""
    rows = Event.objects.exclude(kind__in=QUIET).select_related("session").order_by("-pk")
    told = []
    for event in rows[:HAPPENED]:
        line = event_sentences.line(event, event.kind)
        told.append(_in_session(line, event.session))
    own = ServerEvent.objects.exclude(kind__startswith="session.")  # those repeat the sessions' logs
    told += event_sentences.lines(own.order_by("-seq")[:HAPPENED])
    return sorted(told, key=lambda line: line.time, reverse=True)[:HAPPENED]


def _in_session(line: Line, session: TrainingSession) -> Line:
    return replace(line, session=session.name, session_id=session.pk)
