"""The red banner over every page: what keeps the server from its work, and what to do."""

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from dashboard.kit import parameters
from dashboard.kit.signin import signed_in
from federation.services import health


def fragment(request: HttpRequest) -> HttpResponseBase:
    """Asked for again and again by open pages, also while there is no database to say who asks."""
    try:
        return _banner(request)
    except (DatabaseError, InterfaceError) as error:
        return _unless_shown(request, [health.without_database(error)])


@signed_in
@require_GET
def _banner(request: HttpRequest) -> HttpResponseBase:
    return _unless_shown(request, health.troubles(timezone.now()))


def _unless_shown(request: HttpRequest, troubles: list[health.Check]) -> HttpResponse:
    """Nothing where the page shows these already, so that a screen reader says each of them once."""
    if parameters.of(request).text("shown").split() == [check.name for check in troubles]:
        return HttpResponse(status=204)
    return render(request, "_health.html", {"troubles": troubles})
