"""Workloads: what sessions can train, and a page for each."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_GET

from dashboard.kit import parameters
from dashboard.kit.frame import follow_live, following
from dashboard.pages.workloads import catalogue, declared, getting, holders, lately
from dashboard.pages.workloads.catalogue import Listed
from federation import foreign

PER_PAGE = 25
MOST_PROBLEMS = 20  # files and packages of the server that give no workload


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    frame = following("workloads")
    return render(request, "workloads/list.html", _rows(request) | frame)


@require_GET
def rows(request: HttpRequest) -> HttpResponse:
    return render(request, "workloads/_table.html", _rows(request))


def _rows(request: HttpRequest) -> dict[str, Any]:
    follow, now = follow_live(), timezone.now()
    query = parameters.of(request).text("q")
    page = Paginator(catalogue.names(query), PER_PAGE).get_page(parameters.of(request).page())
    shown = catalogue.of(list(page))
    held = holders.of(shown, now=now)
    last, counted = lately.last_of(list(page)), lately.counted(list(page))
    return {
        "follow": follow,
        "q": query,
        "page": page,
        "workloads": [(one, held[one.name], last.get(one.name), counted.get(one.name, 0)) for one in shown],
        "problems": foreign.problems()[:MOST_PROBLEMS],
        "pager_query": urlencode({"q": query}),
    }


@require_GET
def page(request: HttpRequest, workload: str) -> HttpResponse:
    one = _known(workload)
    frame = following("workloads")
    return render(request, "workloads/workload.html", _details(request, one) | frame)


@require_GET
def parts(request: HttpRequest, workload: str) -> HttpResponse:
    return render(request, "workloads/_workload.html", _details(request, _known(workload)))


def _known(name: str) -> Listed:
    """Raises Http404 for a name that nothing here or at a site has."""
    found = catalogue.of([name])
    if not found:
        raise Http404(f"There is no workload {name!r}.")
    return found[0]


def _details(request: HttpRequest, one: Listed) -> dict[str, Any]:
    follow, now = follow_live(), timezone.now()
    page = Paginator(holders.told(one), PER_PAGE).get_page(parameters.of(request).page())
    return {
        "follow": follow,
        "workload": one,
        "holding": holders.of([one], now=now)[one.name],
        "most_variants": holders.MOST_VARIANTS,
        "page": page,
        "holders": holders.described(one, list(page), now=now),
        "uncounted": any(told.num_examples is None for told in page),
        "sessions": lately.of(one.name),
        "options": declared.options(one),
        "measures": declared.measures(one),
        "train_defaults": declared.train_defaults(one),
        "steps": getting.steps(one),
        "pager_query": "",
    }
