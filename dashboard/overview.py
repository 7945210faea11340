"""The overview: what needs somebody, what runs, what came out, what happened, and how the server is."""

from __future__ import annotations

import shutil
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.models import Count, F, Q, Window
from django.db.models.functions import RowNumber
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard import board, curves, history, lanes
from dashboard.board import Board
from dashboard.history import Progress
from dashboard.kit import charts, event_sentences, formats, statuses
from dashboard.kit.event_sentences import Line
from dashboard.kit.statuses import Word
from federation import parsing
from federation.fl.version import __version__
from federation.lifecycle import ACTIVE, ENDED, LIVE, RoundStatus, SessionStatus
from federation.models import (
    Alert,
    Client,
    Event,
    GlobalModel,
    Participation,
    Round,
    Server,
    ServerEvent,
    TrainingSession,
)
from federation.services.models import choosing

MOST_RUNNING = 8  # sessions that are shown as running; each that has no round open costs a few queries
RECENT = 6
HAPPENED = 8
MOST_CLIENTS = 12  # that the overview names
SPARK = 48  # reports of the clients that a running session's line shows
QUIET_FOR = timedelta(days=3)  # how long a client that went quiet needs attention
FAILED_FOR = timedelta(days=3)  # how long a failed session needs attention
NEARLY_FULL = 0.9
QUIET = (Event.Kind.METRICS_REPORTED, Event.Kind.SEAT_INVITED, Event.Kind.SEAT_TRAINING)  # too many, and told elsewhere
URGENT = {"lost", "late", "silent", "stalled", "refused", "no_clients", "too_few_clients"}


@dataclass(frozen=True, slots=True)
class Item:
    """Something that needs somebody."""

    icon: str
    tone: str
    title: SafeString | str
    text: SafeString | str
    session: TrainingSession | None = None
    again: bool = False  # offer to change the session and run it again

    @property
    def toned(self) -> str:
        return f"tone-{self.tone}"


@dataclass(slots=True)
class Running:
    session: TrainingSession
    board: Board
    progress: Progress
    spark: str

    @property
    def word(self) -> Word:
        if self.session.status == SessionStatus.PAUSED:
            return statuses.SESSION[SessionStatus.PAUSED]
        waits = any(why.kind in URGENT for why in self.board.why) or not self.board.is_active
        return statuses.WAITING if waits else statuses.SESSION[SessionStatus.RUNNING]

    @property
    def why(self) -> SafeString | str:
        pressing = [why for why in self.board.why if why.kind in URGENT] or self.board.why
        return pressing[0].sentence if pressing else "The next round opens."


@dataclass(slots=True)
class Result:
    session: TrainingSession
    word: Word
    completed: int
    last: GlobalModel | None
    best: GlobalModel | None
    spark: str

    @property
    def accuracy(self) -> float | None:
        return charts.value(self.best, "accuracy") if self.best else None


@dataclass(frozen=True, slots=True)
class ServerState:
    ticked_at: datetime | None
    is_ticking: bool
    aggregating: int
    disk_used: int
    disk_total: int
    database: str
    version: str

    @property
    def disk_share(self) -> float:
        return self.disk_used / self.disk_total if self.disk_total else 0.0

    @property
    def is_well(self) -> bool:
        return self.is_ticking and self.disk_share < NEARLY_FULL


# ---- what runs, what came out


def running(now: datetime) -> list[Running]:
    sessions = list(TrainingSession.objects.filter(status__in=LIVE).order_by("pk")[:MOST_RUNNING])
    models = _models(sessions)
    rounds = {r.session_id: r for r in Round.objects.filter(session__in=sessions, status__in=ACTIVE)}
    seats: defaultdict[int, list[Participation]] = defaultdict(list)
    for seat in lanes.seats(rounds.values()):
        seats[seat.round_id].append(seat)
    found = []
    for session in sessions:
        one = rounds.get(session.pk)
        if one is not None and session.status == SessionStatus.RUNNING and one.status == RoundStatus.COLLECTING:
            one.session = session
            at = board.with_seats(session, one, seats[one.pk], now=now, others=[])
        else:
            at = board.of(session, now=now)
        known = models[session.pk]
        found.append(Running(session, at, _progress(at, known), charts.spark(_lately(session))))
    return found


def _lately(session: TrainingSession) -> list[float]:
    """The mean training loss of each of the newest reports, the oldest first."""
    told = Event.objects.filter(session=session, kind=Event.Kind.METRICS_REPORTED).order_by("-seq")
    found = []
    for payload in told.values_list("payload", flat=True)[:SPARK]:
        losses = [value for value in _told(payload) if value is not None]
        if losses:
            found.append(statistics.fmean(losses))
    return found[::-1]


def _told(payload: object) -> list[float | None]:
    """The training losses of one report."""
    points = payload.get("points") if isinstance(payload, dict) else None
    known = [p for p in points if isinstance(p, dict)] if isinstance(points, list) else []
    return [parsing.number(p.get("value")) for p in known if p.get("name") == curves.FIRST]


def recent() -> list[Result]:
    sessions = list(TrainingSession.objects.filter(status__in=ENDED).order_by(F("ended_at").desc(), "-pk")[:RECENT])
    return results(sessions)


def results(sessions: Sequence[TrainingSession]) -> list[Result]:
    """What came out of some sessions, in one query for all."""
    models = _models(sessions)
    return [
        Result(
            session,
            statuses.SESSION[SessionStatus(session.status)],
            _completed(models[session.pk]),
            max(models[session.pk], key=lambda model: model.version, default=None),
            choosing.best(models[session.pk]),
            charts.spark(charts.losses(models[session.pk])),
        )
        for session in sessions
    ]


def _models(sessions: Sequence[TrainingSession]) -> defaultdict[int, list[GlobalModel]]:
    """The models of each session, the newest first, with what was measured of them.

    Each says in `made` how many rounds of its session made a model.
    """
    nth = Window(RowNumber(), partition_by=F("session"), order_by=F("version").desc())
    made = Window(Count("pk", filter=Q(version__gt=0)), partition_by=F("session"))
    rows = (
        GlobalModel.objects.filter(session__in=sessions)
        .annotate(nth=nth, made=made)
        .filter(nth__lte=history.MOST_MODELS)
    )
    found: defaultdict[int, list[GlobalModel]] = defaultdict(list)
    for model in rows.only("session_id", "version", "metrics", "federated_metrics").order_by("-version"):
        found[model.session_id].append(model)
    return found


def _completed(models: Sequence[GlobalModel]) -> int:
    """How many rounds made a model: not the last version, for rounds may have been skipped."""
    return models[0].made if models else 0  # type: ignore[attr-defined]


def _progress(at: Board, models: Sequence[GlobalModel]) -> Progress:
    return Progress(at.session, _completed(models), at.round, frozenset(model.version for model in models))


# ---- what needs somebody


def attention(running: Sequence[Running], state: ServerState, *, now: datetime) -> list[Item]:
    return [*_of_server(state), *_alerts(), *_of_running(running), *_quiet(now), *_failed(now)]


def _of_server(state: ServerState) -> list[Item]:
    found = []
    if not state.is_ticking:
        text = "Rounds neither open nor close. Start the worker and the beat."
        found.append(Item("warning", "bad", "No worker is at work", text))
    if state.disk_share >= NEARLY_FULL:
        used, total = formats.size(state.disk_used), formats.size(state.disk_total)
        text = format_html("{} {} of {} {}. Delete sessions that you don't need.", *used, *total)
        title = format_html("The disk is {}\u202f% full", round(100 * state.disk_share))
        found.append(Item("disk", "wait", title, text))
    return found


def _alerts() -> list[Item]:
    """Open alerts, in one line."""
    newest = Alert.objects.filter(acknowledged_at=None)
    count, first = newest.count(), newest.first()
    if first is None:
        return []
    text = format_html('{} <a href="{}">See all</a>', first.sentence, reverse("alerts"))
    return [Item("alerts", "bad", f"{formats.count(count, 'alert')} open", text)]


def _of_running(running: Sequence[Running]) -> list[Item]:
    found = []
    for one in running:
        for why in one.board.why:
            if why.kind in URGENT:
                where = f"Round {one.board.next_number if not one.board.is_active else one.progress.number}"
                title = format_html("{} of {} needs a look", where, _link(one.session))
                found.append(Item(why.icon, why.tone, title, why.sentence, one.session))
                break
    return found


def _quiet(now: datetime) -> list[Item]:
    """Clients that fell silent without saying goodbye, in one line."""
    seen = Client.objects.enrolled().filter(enabled=True, last_seen__gt=now - QUIET_FOR).order_by("last_seen")
    gone = [client for client in seen if not client.is_online(now)]
    if not gone:
        return []
    names = formats.listed([client.name for client in gone])
    title = f"{names} {'has' if len(gone) == 1 else 'have'} gone quiet"
    since = formats.minutes((now - gone[0].last_seen).total_seconds()) if gone[0].last_seen else ""
    text = format_html(
        'Silent for {}{}. Does the machine run, and reach this server? <a href="{}?state=away">Who is away</a>',
        "" if len(gone) == 1 else "up to ",
        since,
        reverse("clients"),
    )
    return [Item("away", "wait", title, text)]


def _link(session: TrainingSession) -> SafeString:
    return format_html('<a href="{}">{}</a>', reverse("session", args=[session.pk]), session.name)


def _failed(now: datetime) -> list[Item]:
    rows = TrainingSession.objects.filter(status=SessionStatus.FAILED, ended_at__gt=now - FAILED_FOR)
    return [
        Item(
            "x-circle",
            "bad",
            format_html("{} failed", _link(session)),
            format_html("{}", session.reason),
            session,
            True,
        )
        for session in rows.order_by("-ended_at")[:5]
    ]


# ---- what happened


def happened() -> list[Line]:
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


# ---- the server


def server_state(now: datetime) -> ServerState:
    server = Server.objects.filter(pk=1).first()
    disk = shutil.disk_usage(settings.FL_DATA_DIR)
    return ServerState(
        ticked_at=server.ticked_at if server else None,
        is_ticking=server is not None and server.is_ticking(now),
        aggregating=Round.objects.filter(status=RoundStatus.AGGREGATING).count(),
        disk_used=disk.total - disk.free,
        disk_total=disk.total,
        database=_database(),
        version=__version__,
    )


def _database() -> str:
    """'SQLite, 212 MB'."""
    if connection.vendor == "sqlite":
        file = Path(str(connection.settings_dict["NAME"]))
        held = file.stat().st_size if file.exists() else 0
        return "SQLite, " + " ".join(formats.size(held))
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        return f"{connection.display_name}, " + " ".join(formats.size(cursor.fetchone()[0]))
