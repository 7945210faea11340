"""What the frame around every page shows."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from django.http import HttpRequest
from django.utils import timezone

from dashboard.kit.plotly import MAP_STYLE_ID
from dashboard.kit.signin import caller
from federation import access
from federation.access import Act
from federation.lifecycle import LIVE
from federation.models import Alert, Client, Server, TrainingSession
from federation.services import health

THEMES = ("light", "dark")
MOST_FOLLOWED = 8  # sessions of which a page follows the log


class Shell:
    """Looked up only when a template asks: fragments and error pages don't."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    @property
    def theme(self) -> str:
        """What the viewer chose; empty: as the system has it."""
        theme = self._request.COOKIES.get("theme", "")
        return theme if theme in THEMES else ""

    @cached_property
    def running(self) -> int:
        return TrainingSession.objects.filter(status__in=LIVE).count()

    @cached_property
    def clients(self) -> int:
        return Client.objects.enrolled().count()

    @cached_property
    def open_alerts(self) -> int:
        return Alert.objects.filter(acknowledged_at=None).count()

    @cached_property
    def troubles(self) -> list[health.Check]:
        return health.troubles(timezone.now())

    @property
    def now(self) -> str:
        """The server's clock, so that countdowns are right on a machine whose clock is not."""
        return timezone.now().isoformat()

    @property
    def map_style_id(self) -> str:
        return MAP_STYLE_ID


class May:
    """What the user may do, for templates: {% if may.invite %}. On error pages there is no user, who may do nothing."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request

    def __getitem__(self, name: str) -> bool:
        user = getattr(self._request, "user", None)
        return bool(user and user.is_authenticated) and access.allowed(caller(self._request), Act(name))


def shell(request: HttpRequest) -> dict[str, Any]:
    return {"shell": Shell(request), "may": May(request)}


def following(section: str, session: TrainingSession | None = None) -> dict[str, Any]:
    """Where a page stands, and the logs that it follows from where it joins them.

    Call it before anything else of the page is read: what happens meanwhile then arrives twice, never not at all.
    """
    sockets = [("/ws/server/", Server.objects.values_list("last_seq", flat=True).filter(pk=1).first() or 0)]
    if session is not None:
        sockets.append((f"/ws/sessions/{session.pk}/", session.last_seq))
    return {"section": section, "sockets": sockets}


def follow_live() -> str:
    """For `data-follow`: the sessions that go on, each with the end of its log. Call it first, too."""
    rows = TrainingSession.objects.filter(status__in=LIVE).order_by("pk").values_list("pk", "last_seq")
    return " ".join(f"{pk}:{seq}" for pk, seq in rows[:MOST_FOLLOWED])
