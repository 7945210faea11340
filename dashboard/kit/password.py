"""Asks for the password again before an act that only staff may do. The form carries everything that was sent.

It is sent to the same address. After a question (GET) the answer leads back to it; an act itself (POST) is done with
the values that were sent first.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.contrib.auth import authenticate
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django_htmx.http import reswap, retarget
from django_htmx.middleware import HtmxDetails

from dashboard.kit import parameters
from federation import access, passwords
from federation.access import Act
from federation.errors import Refused
from federation.services import signins

FIELD = "password-again"
LOOKED = "password-then-look"  # sent along after a GET
OWN = (FIELD, LOOKED, "csrfmiddlewaretoken")


def question(request: HttpRequest, act: Act) -> HttpResponse | None:
    """None if the password was entered lately; else the answer that asks for it, or that leads back to the question."""
    now = timezone.now()
    if FIELD not in request.POST:
        return None if access.is_recent(signins.entered_at(request.session), now) else ask(request, act)
    try:
        right = check(request)
    except Refused as refusal:
        return ask(request, act, wrong=str(refusal), status=refusal.status, headers=refusal.headers)
    if not right:
        return ask(request, act, wrong="This is not your password. Check capital letters, too.", status=422)
    if LOOKED in request.POST:
        return HttpResponse(status=303, headers={"Location": request.get_full_path()})
    return None


def check(request: HttpRequest) -> bool:
    """Whether the given password is right. It is counted and limited like a sign-in. Raises Refused."""
    name = request.user.get_username()
    if refusal := passwords.locked_out(request, name):
        raise refusal
    found = authenticate(request, username=name, password=request.POST[FIELD])
    if found is None or found.pk != request.user.pk:
        return False
    signins.record(signins.Outcome.CONFIRMED, request, username=name)
    signins.mark_entered(request.session, now=timezone.now())
    return True


def ask(
    request: HttpRequest, act: Act, *, wrong: str = "", status: int = 403, headers: Mapping[str, str] | None = None
) -> HttpResponse:
    htmx: HtmxDetails = getattr(request, "htmx")  # noqa: B009  set by its middleware
    # The act may depend on the query, so the form carries that, too.
    asked_with = request.GET if request.method == "GET" else request.POST
    context = {
        "words": access.WORDS[act],
        "minutes": int(access.RECENT.total_seconds() // 60),
        "address": request.get_full_path(),
        "field": FIELD,
        "looked": LOOKED if request.method == "GET" or LOOKED in request.POST else "",
        "sent": [(name, value) for name, values in asked_with.lists() if name not in OWN for value in values],
        "wrong": wrong,
        "back": parameters.standing_on(request) or reverse("overview"),
    }
    template = "account/_password_again.html" if htmx else "account/password_again.html"
    # htmx shows only successful answers and 422.
    response = render(request, template, context, status=status if not htmx or status == 422 else 200)
    for name, value in {"Cache-Control": "no-store", **(headers or {})}.items():
        response[name] = value
    if not htmx:
        return response
    return reswap(retarget(response, "#dialog-body"), "innerHTML")
