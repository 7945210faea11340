"""A session's log in words, newest first."""

from __future__ import annotations

from dataclasses import dataclass

from dashboard import sentences
from dashboard.sentences import Line
from federation.models import Event, TrainingSession

LINES = 50
MOST_LINES = 2000
SHOWS = {"": "All", "problems": "Problems", "people": "By people"}
KINDS = {"problems": sentences.PROBLEMS, "people": sentences.BY_PEOPLE}


@dataclass(frozen=True, slots=True)
class Log:
    lines: list[Line]
    show: str  # "", problems or people
    limit: int
    has_more: bool
    shows = SHOWS


def of(session: TrainingSession, show: str = "", lines: str = "") -> Log:
    """The newest lines. Points of curves are left out: the chart tells them."""
    show = show if show in SHOWS else ""
    limit = min(MOST_LINES, max(LINES, int(lines))) if lines.isdecimal() else LINES
    rows = Event.objects.filter(session=session).order_by("-seq")
    rows = rows.filter(kind__in=KINDS[show]) if show else rows.exclude(kind=Event.Kind.METRICS_REPORTED)
    found = list(rows[: limit + 1])
    return Log(sentences.lines(found[:limit]), show, limit, len(found) > limit)
