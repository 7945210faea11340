"""Who may see a page or act on it: people who are signed in, as `federation.access` decides."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.models import User
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django_htmx.http import trigger_client_event
from django_htmx.middleware import HtmxDetails

from dashboard.kit import parameters, password
from federation import access
from federation.access import Act, Caller
from federation.services import people


class Request(HttpRequest):
    """A request of somebody who is signed in."""

    htmx: HtmxDetails
    user: User


View = Callable[..., HttpResponseBase]
ActOf = Act | Callable[..., Act]  # what a view does, or how to find that out from its request and arguments


def caller(request: HttpRequest) -> Caller:
    """Who calls, looked up once per request."""
    known: Caller | None = vars(request).get("_caller")
    if known is None:
        assert isinstance(request.user, User)
        known = people.caller(request.user)
        vars(request)["_caller"] = known
    return known


def guarded(view: View, act: ActOf = Act.SEE) -> View:
    """Admit those who may do this and refuse the others with the reason. Administrative acts need a recent password."""

    @wraps(view)
    def checked(request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
        wanted = act if isinstance(act, Act) else act(request, *args, **kwargs)
        who = caller(request)
        if not access.allowed(who, wanted):
            return _refused(request, access.refusal(who, wanted))
        if wanted in access.ADMINISTRATIVE and (question := password.question(request, wanted)):
            return question
        return view(request, *args, **kwargs)

    return signed_in(checked)


def _refused(request: Request, sentence: str) -> HttpResponse:
    if not request.htmx:
        return render(request, "403.html", {"sentence": sentence}, status=403)
    detail = {"sentence": sentence, "icon": "ban", "tone": "bad"}
    return trigger_client_event(HttpResponse(status=403), "toast", detail)


def signed_in(view: View) -> View:
    """Send everybody else to the sign-in page, a fragment's request with its whole page."""

    @wraps(view)
    def known(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated:
            return view(request, *args, **kwargs)
        htmx: HtmxDetails = getattr(request, "htmx")  # noqa: B009  set by its middleware
        if not htmx:
            return redirect_to_login(request.get_full_path())
        back = parameters.standing_on(request) or reverse("overview")
        response = HttpResponse(status=401)
        response["HX-Redirect"] = f"{reverse('login')}?{urlencode({'next': back})}"
        return response

    return known
