"""What needs somebody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from dashboard.kit import formats
from dashboard.pages.overview.running import URGENT, Running
from dashboard.pages.overview.server import NEARLY_FULL, ServerState
from federation.lifecycle import SessionStatus, WorkKind
from federation.models import Alert, Client, TrainingSession

QUIET_FOR = timedelta(days=3)  # how long a client that went quiet needs attention
FAILED_FOR = timedelta(days=3)  # how long a failed session needs attention


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


def items(running: Sequence[Running], state: ServerState, *, now: datetime) -> list[Item]:
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
        for why in one.reasons:
            if why.kind in URGENT:
                title = format_html("{}{} needs a look", _where(one), _link(one.session))
                found.append(Item(why.icon, why.tone, title, why.sentence, one.session))
                break
    return found


def _where(one: Running) -> str:
    if one.round_now.is_of_other_work:
        return ""
    return f"Round {one.progress.number if one.round_now.is_active else one.round_now.next_number} of "


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
            session.kind == WorkKind.TRAIN,
        )
        for session in rows.order_by("-ended_at")[:5]
    ]
