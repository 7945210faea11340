"""A session's log in words, newest first, narrowed to a kind, a client or a text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from html import unescape
from itertools import islice

from django.db.models import Q, QuerySet
from django.utils.html import strip_tags
from django.utils.http import urlencode

from dashboard.kit import event_sentences, formats
from dashboard.kit.event_sentences import Line
from dashboard.kit.parameters import Parameters
from federation.models import STEERING, Client, Event, TrainingSession

LINES = 50
MOST_LINES = 2000
MOST_READ = 10_000  # entries that are looked through for a text, unless one asks for all
SHOWS = {"": "All", "problems": "Problems", "people": "By people"}
KINDS = {"problems": event_sentences.PROBLEMS, "people": STEERING}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the log one wants to see; what makes no sense is left out."""

    show: str = ""  # "", problems or people
    kind: str = ""
    client: str = ""  # its id
    text: str = ""
    lines: int = LINES
    deep: bool = False  # look for the text through the whole log, however long

    @property
    def query(self) -> str:
        """For an address: only what differs from the whole log."""
        asked = {"show": self.show, "kind": self.kind, "client": self.client, "find": self.text}
        asked["lines"] = str(self.lines) if self.lines != LINES else ""
        asked["deep"] = "1" if self.deep else ""
        return urlencode({name: value for name, value in asked.items() if value})

    @property
    def more(self) -> Wanted:
        return replace(self, lines=min(MOST_LINES, self.lines + 200))

    @property
    def deeper(self) -> Wanted:
        return replace(self, deep=True)


def wanted(asked: Parameters) -> Wanted:
    """Read from an address."""
    client = asked.whole("client")
    return Wanted(
        show=asked.choice("show", SHOWS),
        kind=asked.choice("kind", Event.Kind.values),
        client="" if client is None else str(client),
        text=asked.text("find", longest=100),
        lines=asked.clamped("lines", least=LINES, most=MOST_LINES),
        deep=bool(asked.choice("deep", ("1",))),
    )


@dataclass(frozen=True, slots=True)
class Log:
    lines: list[Line]
    wanted: Wanted
    has_more: bool
    kinds: list[tuple[str, str]]
    clients: list[Client]
    unread: int = 0  # older entries that were not looked through for the text
    shows = SHOWS
    most_read = MOST_READ


def of(session: TrainingSession, asked: Wanted | None = None) -> Log:
    """The newest lines. Points of curves are left out: the chart tells them."""
    asked = asked or Wanted()
    rows, text = _rows(session, asked), asked.text.strip().casefold()
    read = rows if asked.deep or not text else rows[:MOST_READ]
    found = list(islice(_matching(read, text), asked.lines + 1))
    has_more = len(found) > asked.lines
    unread = 0 if read is rows or has_more else max(0, rows.count() - MOST_READ)
    clients = Client.objects.filter(seats__round__session=session).distinct().order_by("name")
    return Log(found[: asked.lines], asked, has_more, _kinds(session), list(clients), unread)


def _rows(session: TrainingSession, asked: Wanted) -> QuerySet[Event]:
    rows = Event.objects.filter(session=session).order_by("-seq")
    rows = rows.filter(kind__in=KINDS[asked.show]) if asked.show else rows
    rows = rows.filter(kind=asked.kind) if asked.kind else rows.exclude(kind=Event.Kind.METRICS_REPORTED)
    if asked.client:
        rows = rows.filter(Q(payload__client__id=asked.client))
    return rows


def _matching(rows: QuerySet[Event], text: str) -> Iterator[Line]:
    """Those whose sentence holds the text, as one reads it."""
    for event in rows.iterator(chunk_size=200):
        line = event_sentences.line(event, event.kind)
        if not text or text in unescape(strip_tags(line.sentence)).casefold():
            yield line


def _kinds(session: TrainingSession) -> list[tuple[str, str]]:
    """The kinds that there are in this log: 'Update received'."""
    found = Event.objects.filter(session=session).exclude(kind=Event.Kind.METRICS_REPORTED)
    names = found.order_by("kind").values_list("kind", flat=True).distinct()
    return [(kind, formats.capital(kind.replace(".", " "))) for kind in names]
