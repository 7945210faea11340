"""How an act is answered: a sentence that floats in, and what on the page has changed by it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django_htmx.http import trigger_client_event

from dashboard.kit import parameters
from dashboard.kit.signin import Request
from federation import tasks
from federation.errors import Refused
from federation.models import TrainingSession


def done(
    request: HttpRequest,
    sentence: str,
    *,
    to: str,
    icon: str = "check-circle",
    tone: str = "ok",
    changed: tuple[str, ...] = (),
    leave: bool = False,
) -> HttpResponse:
    """Say what was done. `to` is the page to be on afterwards; `changed` are the events that refetch its parts.

    leave: the page that one is on is not that page, so go there, as where a question is a page of its own.
    """
    leave = leave or _is_the_page(request)
    if getattr(request, "htmx", False) and not leave:
        response = HttpResponse(status=204)
        for event in changed:
            trigger_client_event(response, event, {})
        return toast(response, sentence, icon, tone)
    messages.success(request, sentence, extra_tags=f"{icon} {tone}")
    if getattr(request, "htmx", False):
        return HttpResponse(status=204, headers={"HX-Redirect": to})
    return redirect(to)


def _is_the_page(request: HttpRequest) -> bool:
    """Whether what was asked for is the very page that one is on."""
    return parameters.standing_on(request).partition("?")[0] == request.path


def toast(response: HttpResponse, sentence: str, icon: str, tone: str) -> HttpResponse:
    trigger_client_event(response, "toast", {"sentence": sentence, "icon": icon, "tone": tone})
    return response


def ask(request: Request, about: Mapping[str, object]) -> HttpResponse:
    """The question before an act: what it is, what is lost and what is kept by it. See templates/_confirm.html."""
    return render(request, "_confirm.html" if request.htmx else "confirm.html", dict(about))


def act(back: Callable[..., str]) -> Callable[[Callable[..., HttpResponse]], Callable[..., HttpResponse]]:
    """For views that act: what a service refuses is said, on the page where it was asked for.

    back: the page's address, given the view's own arguments.
    """

    def decorate(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @wraps(view)
        def acting(request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
            try:
                return view(request, *args, **kwargs)
            except Refused as refusal:
                if request.htmx:
                    return toast(HttpResponse(status=refusal.status), str(refusal), "x-circle", "bad")
                messages.error(request, str(refusal), extra_tags="x-circle bad")
                return redirect(back(*args, **kwargs))

        return acting

    return decorate


def advance(session: TrainingSession) -> None:
    """Have the session's next move made as soon as what was done is committed."""
    transaction.on_commit(lambda: tasks.advance.delay(session.pk))


def advance_all() -> None:
    transaction.on_commit(lambda: tasks.advance_all.delay())
