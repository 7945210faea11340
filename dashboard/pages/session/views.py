"""Sessions: the list, one session's page and its fragments."""

from __future__ import annotations

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.http import require_GET

from dashboard.kit import counts, formats, parameters, results, session_settings, statuses
from dashboard.kit.frame import follow_live, following
from dashboard.pages.models import ingredients
from dashboard.pages.session import (
    actions,
    contribution,
    curves,
    evaluated,
    history,
    log,
    round_now,
    spending,
    summary,
    timeline,
)
from dashboard.pages.session.why import why_it_waits
from federation.lifecycle import SessionStatus, WorkKind
from federation.models import TrainingSession
from federation.services.rounds import deadlines
from federation.services.seats import quotas

PER_PAGE = 25


@require_GET
def index(request: HttpRequest) -> HttpResponse:
    frame = following("sessions")
    return render(request, "sessions/list.html", _list(request) | frame)


@require_GET
def rows(request: HttpRequest) -> HttpResponse:
    return render(request, "sessions/_list.html", _list(request))


def _list(request: HttpRequest) -> dict[str, Any]:
    follow, address = follow_live(), parameters.of(request)
    status = address.choice("status", SessionStatus.values)
    found = TrainingSession.objects.all()
    if status:
        found = found.filter(status=status)
    page = Paginator(found.order_by("-pk"), PER_PAGE).get_page(address.page())
    return {
        "follow": follow,
        "page": page,
        "results": results.of(list(page)),
        "status": status,
        "statuses": [(value, statuses.SESSION[SessionStatus(value)].text) for value in SessionStatus.values],
        "any": found.exists() or TrainingSession.objects.exists(),
    }


@require_GET
def page(request: HttpRequest, session_id: int) -> HttpResponse:
    session = get(session_id)
    frame = following("sessions", session)  # joined before the rest is read
    chosen = counts.asked(parameters.of(request))
    if session.kind != WorkKind.TRAIN:
        context = evaluated.whole(session, chosen, now=timezone.now()) | _log(request, session)
        return render(request, "sessions/evaluation.html", context | frame)
    context = _head(session) | _round(session) | _history(request, session) | _log(request, session)
    context |= _timeline(request, session) | _data(request, session) | _settings(session)
    context |= {"spent": spending.of(session)}
    context |= {"left_out": curves.left_out(session), "quotas": quotas.told()}
    context["measure_phrases"] = curves.measure_phrases(session)
    context |= evaluated.of(session, chosen)
    return render(request, "sessions/session.html", context | frame)


def _suggestion(session: TrainingSession) -> str:
    """What the rounds so far would suggest as their time."""
    found = deadlines.suggested(session)
    if found is None:
        return ""
    return f"The rounds so far suggest {formats.span(found.seconds)}: {formats.learnt(found.as_json())}."


def get(session_id: int) -> TrainingSession:
    known = TrainingSession.objects.select_related("created_by", "start_from__session", "initial_model")
    return get_object_or_404(known, pk=session_id)


@require_GET
def head(request: HttpRequest, session_id: int) -> HttpResponse:
    return render(request, "sessions/_head.html", _head(get(session_id)))


@require_GET
def current_round(request: HttpRequest, session_id: int) -> HttpResponse:
    """The round's card, and its lanes beside it."""
    return render(request, "sessions/_round.html", _round(get(session_id)))


@require_GET
def past(request: HttpRequest, session_id: int) -> HttpResponse:
    return render(request, "sessions/_history.html", _history(request, get(session_id)))


@require_GET
def past_rounds(request: HttpRequest, session_id: int) -> HttpResponse:
    return render(request, "sessions/_timeline.html", _timeline(request, get(session_id)))


@require_GET
def spent(request: HttpRequest, session_id: int) -> HttpResponse:
    """What its privacy costs so far; of a session without, nothing."""
    session = get(session_id)
    found = spending.of(session)
    if found is None:
        return HttpResponse()
    return render(request, "sessions/_privacy.html", {"session": session, "spent": found})


@require_GET
def data(request: HttpRequest, session_id: int) -> HttpResponse:
    return render(request, "sessions/_data.html", _data(request, get(session_id)))


@require_GET
def events(request: HttpRequest, session_id: int) -> HttpResponse:
    return render(request, "sessions/_events.html", _log(request, get(session_id)))


@require_GET
def evaluation(request: HttpRequest, session_id: int) -> HttpResponse:
    """What the sites measured; of a session that does nothing else all of it."""
    session = get(session_id)
    if session.kind != WorkKind.TRAIN:
        context = evaluated.whole(session, counts.asked(parameters.of(request)), now=timezone.now())
        return render(request, "sessions/_evaluation_session.html", context)
    context = evaluated.of(session, counts.asked(parameters.of(request)))
    return render(request, "sessions/_evaluated.html", context)


@require_GET
def settings(request: HttpRequest, session_id: int) -> HttpResponse:
    return render(request, "sessions/_settings.html", _settings(get(session_id)))


@require_GET
def points(request: HttpRequest, session_id: int) -> JsonResponse:
    """The points of the live curves, with the number of the event after which to go on."""
    return JsonResponse(curves.of(get(session_id), curves.view_of(parameters.of(request))))


def _head(session: TrainingSession) -> dict[str, Any]:
    now = timezone.now()
    return {
        "session": session,
        "word": statuses.SESSION[SessionStatus(session.status)],
        "summary": summary.of(session, now=now),
        "last_model": session.last_model(),
    }


def _round(session: TrainingSession) -> dict[str, Any]:
    now = timezone.now()
    at = round_now.of(session, now=now)
    return {"session": session, "round_now": at, "reasons": why_it_waits(at), "actions": actions.of(at), "now": now}


def _history(request: HttpRequest, session: TrainingSession) -> dict[str, Any]:
    address = parameters.of(request)
    rows = address.clamped("rows", least=history.ROWS, most=history.MOST_ROWS)
    found = history.of(session, rows=rows, opened=address.whole("model"))
    context = {"session": session, "history": found, "rows": rows}
    if found.opened is not None:
        context["opened"] = {"model": found.opened, "ingredients": ingredients.of(found.opened)}
    return context


def _timeline(request: HttpRequest, session: TrainingSession) -> dict[str, Any]:
    return {"session": session, "timeline": timeline.of(session, parameters.of(request).whole("upto"))}


def _data(request: HttpRequest, session: TrainingSession) -> dict[str, Any]:
    return {
        "session": session,
        "data": contribution.of(session, parameters.of(request).choice("by", contribution.MEASURES)),
    }


def _settings(session: TrainingSession) -> dict[str, Any]:
    return {
        "session": session,
        "last_model": session.last_model(),
        "settings": session_settings.of(session),
        "suggestion": _suggestion(session),
    }


def _log(request: HttpRequest, session: TrainingSession) -> dict[str, Any]:
    return {"session": session, "log": log.of(session, log.wanted(parameters.of(request)))}
