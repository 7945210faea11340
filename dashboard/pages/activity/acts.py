"""Who did what, when: the acts of people and scripts, from all logs, and clients whose data changed."""

from __future__ import annotations

from dataclasses import dataclass, replace

from django.db.models import Q, QuerySet

from dashboard.kit import event_sentences
from dashboard.kit.event_sentences import Line
from federation.models import STEERING, Event, ServerEvent

PER_PAGE = 50
MOST_PAGES = 200
S = ServerEvent.Kind
OF_SERVER = {
    "clients": (
        S.CLIENT_ENABLED,
        S.CLIENT_DISABLED,
        S.CLIENT_TAGGED,
        S.CLIENT_LEFT,
        S.CLIENT_REISSUED,
        S.CLIENT_CHANGED,
    ),
    "invitations": (S.INVITATION_CREATED, S.INVITATION_REVOKED),
    "models": (S.MODEL_TAGGED, S.MODEL_UNTAGGED, S.MODEL_NOTED),
    "alerts": (S.ALERT_ACKNOWLEDGED, S.RULE_CREATED, S.RULE_CHANGED, S.RULE_DELETED),
    "sessions": (S.SESSION_DELETED,),
}
AREAS = {"": "All", "sessions": "Sessions", **{name: name.capitalize() for name in OF_SERVER if name != "sessions"}}


@dataclass(frozen=True, slots=True)
class Page:
    lines: list[Line]
    number: int
    has_more: bool


def page(*, area: str = "", by: str = "", number: int = 1) -> Page:
    """The acts of one page, newest first. Both logs are read as far as that page and merged by time."""
    number = min(max(1, number), MOST_PAGES)
    until = number * PER_PAGE + 1
    merged = sorted(_of_sessions(area, by, until) + _of_server(area, by, until), key=lambda line: line.time)
    newest = merged[::-1][:until]
    return Page(newest[(number - 1) * PER_PAGE : number * PER_PAGE], number, len(newest) > number * PER_PAGE)


def _of_sessions(area: str, by: str, until: int) -> list[Line]:
    if area not in ("", "sessions"):
        return []
    rows = Event.objects.filter(kind__among=STEERING).select_related("session").order_by("-id")
    if by:
        rows = rows.filter(payload__by=by)
    return [
        replace(event_sentences.line(e, e.kind), session=e.session.name, session_id=e.session_id, by=_who(e))
        for e in rows[:until]
    ]


def _of_server(area: str, by: str, until: int) -> list[Line]:
    rows: QuerySet[ServerEvent] = ServerEvent.objects.filter(kind__in=_kinds(area)).order_by("-seq")
    # A client that left by itself did so; one that was removed was removed by somebody. Other data are told anyhow.
    somebody = Q(payload__has_key="by") | Q(kind=S.CLIENT_CHANGED)
    rows = rows.filter(payload__by=by) if by else rows.filter(somebody)
    return [replace(event_sentences.line(event, event.kind), by=_who(event)) for event in rows[:until]]


def _kinds(area: str) -> list[str]:
    return [kind for name, kinds in OF_SERVER.items() if area in ("", name) for kind in kinds]


def _who(event: Event | ServerEvent) -> str:
    return str(event.payload.get("by") or "") if isinstance(event.payload, dict) else ""
