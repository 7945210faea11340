"""Who did what, when."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.http import urlencode
from django.views.decorators.http import require_GET

from dashboard.kit import parameters
from dashboard.kit.frame import follow_live, following
from dashboard.pages.activity import acts


@require_GET
def page(request: HttpRequest) -> HttpResponse:
    return render(request, "activity/page.html", _rows(request) | following("activity"))


@require_GET
def rows(request: HttpRequest) -> HttpResponse:
    return render(request, "activity/_rows.html", _rows(request))


def _rows(request: HttpRequest) -> dict[str, Any]:
    follow = follow_live()
    query = parameters.of(request)
    area, by = query.choice("area", acts.AREAS), query.text("by")
    return {
        "follow": follow,
        "area": area,
        "by": by,
        "areas": acts.AREAS,
        "people": list(User.objects.order_by("username").values_list("username", flat=True)[:200]),
        "page": acts.page(area=area, by=by, number=query.page()),
        "query": urlencode({"area": area, "by": by}),
    }
