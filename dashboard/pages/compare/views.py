"""Several sessions on one chart. The address says which, so that it can be passed on."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from dashboard.kit import parameters, session_settings
from dashboard.kit.frame import follow_live, following
from dashboard.pages.compare import at_sites, comparison
from federation.models import TrainingSession

OFFERED = 50  # sessions that can be added from the page itself


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    frame = following("compare")
    return render(request, "compare/page.html", _compared(request) | frame)


@require_GET
def parts(request: HttpRequest) -> HttpResponse:
    """Chart data and tables anew, while a session goes on."""
    return render(request, "compare/_parts.html", _compared(request))


def _compared(request: HttpRequest) -> dict[str, Any]:
    follow, address = follow_live(), parameters.of(request)
    sessions, gone = comparison.chosen(address.wholes("s"))
    shown = comparison.lines(sessions)
    measures = list(comparison.measures(shown))
    others = TrainingSession.objects.exclude(pk__in=[session.pk for session in sessions])
    return {
        "follow": follow,
        "lines": shown,
        "gone": gone,
        "overlay": comparison.overlay(shown),
        "measures": measures,
        "metric": address.choice("metric", measures, next(iter(measures), "")),
        "at_sites": at_sites.of(shown, address.text("counts")),
        "axes": comparison.AXES,
        "axis": address.choice("x", comparison.AXES, "round"),
        "settings": session_settings.side_by_side(sessions),
        "others": others.only("name")[:OFFERED] if len(sessions) < comparison.MOST else [],
        "most": comparison.MOST,
        "query": "&".join(f"s={session.pk}" for session in sessions),
    }
